#!/usr/bin/env bash
# Lets Eventarc deliver the messages of a Pub/Sub topic to the function on Cloud Run, as CloudEvents.
#
# Usage: PROJECT=my-project REGION=europe-west1 ./eventarc.sh
#
# Needs the function deployed as the Cloud Run service ddm-precheck, and the topic precheck-wanted. Eventarc makes a
# push subscription of its own: give that one a dead-letter topic and a backoff as pubsub.sh does.
# GCLOUD may name another program to run the commands.
set -euo pipefail

: "${PROJECT:?PROJECT is not set: the Google Cloud project}"
: "${REGION:?REGION is not set: the region of the Cloud Run service}"
gcloud=${GCLOUD:-gcloud}
caller=precheck-eventarc@$PROJECT.iam.gserviceaccount.com

"$gcloud" iam service-accounts create precheck-eventarc --project "$PROJECT"
"$gcloud" run services add-iam-policy-binding ddm-precheck --project "$PROJECT" --region "$REGION" \
    --member "serviceAccount:$caller" --role roles/run.invoker
"$gcloud" eventarc triggers create ddm-precheck --project "$PROJECT" --location "$REGION" \
    --destination-run-service ddm-precheck --destination-run-region "$REGION" \
    --event-filters type=google.cloud.pubsub.topic.v1.messagePublished \
    --transport-topic "projects/$PROJECT/topics/precheck-wanted" --service-account "$caller"
"$gcloud" eventarc triggers describe ddm-precheck --project "$PROJECT" --location "$REGION" \
    --format 'value(transport.pubsub.subscription)'
