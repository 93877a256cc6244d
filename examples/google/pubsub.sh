#!/usr/bin/env bash
# Deploys the function, and lets Pub/Sub push events to the function, with an identity, a backoff and a limit of
# attempts. The events need no token, and each report goes to a chat.
#
# Usage: PROJECT=my-project REGION=europe-west1 DDM_REGION=cn-north-4 ALLOW=PROJECT_ID/INSTANCE_ID EXPECTED_CHECKS=8 \
#          ./pubsub.sh
#
# First run ../token-renewal/google.sh (the secret ddm-token) and chat-sink.sh (the secret precheck-sink). To find the
# number of checks, see docs/reference.md. The data of a message to precheck-wanted is the event: the response that
# started the precheck, {"job_id": …, "pre_check_results": …}, with project_id, instance_id and db_name.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=function.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/function.sh"
deploy_function

url=$(gcloud run services describe ddm-precheck --project "$PROJECT" --region "$REGION" --format 'value(status.url)')
number=$(gcloud projects describe "$PROJECT" --format 'value(projectNumber)')
caller=precheck-push@$PROJECT.iam.gserviceaccount.com
# Pub/Sub's service agent moves a dead letter: the agent publishes the event to precheck-dead-letters and acknowledges
# the event in the subscription.
agent=serviceAccount:service-$number@gcp-sa-pubsub.iam.gserviceaccount.com

gcloud pubsub topics create precheck-wanted --project "$PROJECT"
gcloud pubsub topics create precheck-dead-letters --project "$PROJECT"
# Without a subscription, dead letters are lost.
gcloud pubsub subscriptions create precheck-dead-letters --project "$PROJECT" \
    --topic precheck-dead-letters --message-retention-duration 1d

gcloud iam service-accounts create precheck-push --project "$PROJECT"
gcloud run services add-iam-policy-binding ddm-precheck --project "$PROJECT" --region "$REGION" \
    --member "serviceAccount:$caller" --role roles/run.invoker

# While the precheck has not finished, the function responds 503 and Pub/Sub retries, for over an hour: 100 attempts, 10
# to 60 seconds apart.
gcloud pubsub subscriptions create precheck-wanted --project "$PROJECT" --topic precheck-wanted \
    --push-endpoint "$url" --push-auth-service-account "$caller" --push-auth-token-audience "$url" \
    --ack-deadline 60 --min-retry-delay 10s --max-retry-delay 60s \
    --dead-letter-topic precheck-dead-letters --max-delivery-attempts 100 \
    --message-retention-duration 6h --expiration-period never

gcloud pubsub topics add-iam-policy-binding precheck-dead-letters --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.publisher
gcloud pubsub subscriptions add-iam-policy-binding precheck-wanted --project "$PROJECT" \
    --member "$agent" --role roles/pubsub.subscriber
