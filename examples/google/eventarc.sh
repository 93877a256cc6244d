#!/usr/bin/env bash
# Deploys the function, and lets Eventarc send the messages of a Pub/Sub topic to the function as CloudEvents. The
# events need no token, and each report goes to a chat.
#
# Usage: PROJECT=my-project REGION=europe-west1 DDM_REGION=cn-north-4 ALLOW=PROJECT_ID/INSTANCE_ID EXPECTED_CHECKS=8 \
#          ./eventarc.sh
#
# Run this script instead of pubsub.sh, with the same requirements. Both scripts create the same objects, so a second
# script would stop with gcloud's error.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=function.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/function.sh"
deploy_function

number=$(gcloud projects describe "$PROJECT" --format 'value(projectNumber)')
caller=precheck-eventarc@$PROJECT.iam.gserviceaccount.com
# Pub/Sub's service agent moves a dead letter: the agent publishes the event to precheck-dead-letters and acknowledges
# the event in the subscription.
agent=serviceAccount:service-$number@gcp-sa-pubsub.iam.gserviceaccount.com

gcloud pubsub topics create precheck-wanted --project "$PROJECT"
gcloud pubsub topics create precheck-dead-letters --project "$PROJECT"
# Without a subscription, dead letters are lost.
gcloud pubsub subscriptions create precheck-dead-letters --project "$PROJECT" \
    --topic precheck-dead-letters --message-retention-duration 1d

gcloud iam service-accounts create precheck-eventarc --project "$PROJECT"
gcloud run services add-iam-policy-binding ddm-precheck --project "$PROJECT" --region "$REGION" \
    --member "serviceAccount:$caller" --role roles/run.invoker

gcloud eventarc triggers create ddm-precheck --project "$PROJECT" --location "$REGION" \
    --destination-run-service ddm-precheck --destination-run-region "$REGION" \
    --event-filters type=google.cloud.pubsub.topic.v1.messagePublished \
    --transport-topic "projects/$PROJECT/topics/precheck-wanted" --service-account "$caller"

# Eventarc creates a push subscription that retries for a day, with a delay of up to ten minutes, and then
# discards the event.
subscription=$(gcloud eventarc triggers describe ddm-precheck --project "$PROJECT" --location "$REGION" \
    --format 'value(transport.pubsub.subscription)')
gcloud pubsub subscriptions update "$subscription" --project "$PROJECT" \
    --ack-deadline 60 --min-retry-delay 10s --max-retry-delay 60s \
    --dead-letter-topic precheck-dead-letters --max-delivery-attempts 100 \
    --message-retention-duration 6h

gcloud pubsub topics add-iam-policy-binding precheck-dead-letters --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.publisher
gcloud pubsub subscriptions add-iam-policy-binding "$subscription" --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.subscriber
