#!/usr/bin/env bash
# Lets Pub/Sub push events to the function on Cloud Run: with an identity, a backoff, and an end to redelivery.
#
# Usage: PROJECT=my-project REGION=europe-west1 ./pubsub.sh
#
# Needs the function deployed as the Cloud Run service ddm-precheck (./deploy.sh cloud-run), and the right to create
# topics, subscriptions and service accounts. GCLOUD may name another program to run the commands.
set -euo pipefail

: "${PROJECT:?PROJECT is not set: the Google Cloud project}"
: "${REGION:?REGION is not set: the region of the Cloud Run service}"
gcloud=${GCLOUD:-gcloud}

url=$("$gcloud" run services describe ddm-precheck --project "$PROJECT" --region "$REGION" --format 'value(status.url)')
number=$("$gcloud" projects describe "$PROJECT" --format 'value(projectNumber)')
caller=precheck-push@$PROJECT.iam.gserviceaccount.com
# Pub/Sub's own identity moves dead letters: it publishes there and acknowledges here.
agent=serviceAccount:service-$number@gcp-sa-pubsub.iam.gserviceaccount.com

"$gcloud" pubsub topics create precheck-wanted --project "$PROJECT"
"$gcloud" pubsub topics create precheck-dead-letters --project "$PROJECT"
# Dead letters that nobody subscribes to are lost.
"$gcloud" pubsub subscriptions create precheck-dead-letters --project "$PROJECT" \
    --topic precheck-dead-letters --message-retention-duration 1d

"$gcloud" iam service-accounts create precheck-push --project "$PROJECT"
"$gcloud" run services add-iam-policy-binding ddm-precheck --project "$PROJECT" --region "$REGION" \
    --member "serviceAccount:$caller" --role roles/run.invoker

# 100 deliveries, 10 to 60 seconds apart, are over an hour of waiting for a precheck that has not finished.
"$gcloud" pubsub subscriptions create precheck-wanted --project "$PROJECT" --topic precheck-wanted \
    --push-endpoint "$url" --push-auth-service-account "$caller" --push-auth-token-audience "$url" \
    --ack-deadline 60 --min-retry-delay 10s --max-retry-delay 60s \
    --dead-letter-topic precheck-dead-letters --max-delivery-attempts 100 \
    --message-retention-duration 6h --expiration-period never

"$gcloud" pubsub topics add-iam-policy-binding precheck-dead-letters --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.publisher
"$gcloud" pubsub subscriptions add-iam-policy-binding precheck-wanted --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.subscriber
