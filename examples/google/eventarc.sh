#!/usr/bin/env bash
# Lets Eventarc deliver the messages of a Pub/Sub topic to the function on Cloud Run, as CloudEvents.
#
# Usage: PROJECT=my-project REGION=europe-west1 ./eventarc.sh
#
# An alternative to pubsub.sh: with both, each message would be delivered twice. Needs the same as it does.
# GCLOUD may name another program to run the commands.
set -euo pipefail

: "${PROJECT:?PROJECT is not set: the Google Cloud project}"
: "${REGION:?REGION is not set: the region of the Cloud Run service}"
gcloud=${GCLOUD:-gcloud}

number=$("$gcloud" projects describe "$PROJECT" --format 'value(projectNumber)')
caller=precheck-eventarc@$PROJECT.iam.gserviceaccount.com
# Pub/Sub's own identity moves dead letters: it publishes there and acknowledges here.
agent=serviceAccount:service-$number@gcp-sa-pubsub.iam.gserviceaccount.com

"$gcloud" pubsub topics create precheck-wanted --project "$PROJECT"
"$gcloud" pubsub topics create precheck-dead-letters --project "$PROJECT"
# Dead letters that nobody subscribes to are lost.
"$gcloud" pubsub subscriptions create precheck-dead-letters --project "$PROJECT" \
    --topic precheck-dead-letters --message-retention-duration 1d

"$gcloud" iam service-accounts create precheck-eventarc --project "$PROJECT"
"$gcloud" run services add-iam-policy-binding ddm-precheck --project "$PROJECT" --region "$REGION" \
    --member "serviceAccount:$caller" --role roles/run.invoker

"$gcloud" eventarc triggers create ddm-precheck --project "$PROJECT" --location "$REGION" \
    --destination-run-service ddm-precheck --destination-run-region "$REGION" \
    --event-filters type=google.cloud.pubsub.topic.v1.messagePublished \
    --transport-topic "projects/$PROJECT/topics/precheck-wanted" --service-account "$caller"

# The push subscription that Eventarc has made would try for a day, at last every ten minutes, and then drop the event.
subscription=$("$gcloud" eventarc triggers describe ddm-precheck --project "$PROJECT" --location "$REGION" \
    --format 'value(transport.pubsub.subscription)')
"$gcloud" pubsub subscriptions update "$subscription" --project "$PROJECT" \
    --ack-deadline 60 --min-retry-delay 10s --max-retry-delay 60s \
    --dead-letter-topic precheck-dead-letters --max-delivery-attempts 100 \
    --message-retention-duration 6h

"$gcloud" pubsub topics add-iam-policy-binding precheck-dead-letters --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.publisher
"$gcloud" pubsub subscriptions add-iam-policy-binding "$subscription" --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.subscriber
