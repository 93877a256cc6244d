#!/usr/bin/env bash
# Deploys chat_sink/: a Cloud Run service that receives each summary and posts its report to a chat. pubsub.sh and
# eventarc.sh use it as the sink of the function.
#
# Usage: PROJECT=my-project REGION=europe-west1 ./chat-sink.sh < webhook-url
#
# stdin is the URL of the chat's webhook, a secret. The URL goes to Secret Manager through a pipe.
#
# **Pub/Sub, Eventarc, Workflows and a chat's webhook cannot be the sink: the first three need an access token that the
# function does not send, and a webhook accepts {"text": …} and rejects a CloudEvent.** The function sends no identity
# to its sink, so the service is public, and the last part of its URL is a random key.
set -euo pipefail

: "${PROJECT:?PROJECT is not set: the Google Cloud project}"
: "${REGION:?REGION is not set: the region of the Cloud Run services}"
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
account=precheck-chat-sink@$PROJECT.iam.gserviceaccount.com
webhook=$(cat)
[[ $webhook == https://* ]] || { printf 'chat-sink.sh: stdin is not an https URL\n' >&2; exit 2; }
key=$(od -An -N 24 -t x1 /dev/urandom | tr -d ' \n')

# create_secret NAME VALUE: printf is part of the shell, so no argument of a process contains the value.
create_secret() {
    printf '%s' "$2" | gcloud secrets create "$1" --project "$PROJECT" --replication-policy automatic --data-file=-
}

create_secret precheck-chat-webhook "$webhook"
create_secret precheck-sink-key "$key"
gcloud iam service-accounts create precheck-chat-sink --project "$PROJECT"
for secret in precheck-chat-webhook precheck-sink-key; do
    gcloud secrets add-iam-policy-binding "$secret" --project "$PROJECT" \
        --member "serviceAccount:$account" --role roles/secretmanager.secretAccessor
done

gcloud run deploy precheck-chat-sink --project "$PROJECT" --region "$REGION" \
    --source "$here/chat_sink" --function receive --base-image python313 --service-account "$account" \
    --allow-unauthenticated --memory 512Mi --timeout 10s --max-instances 2 --quiet \
    --set-secrets CHAT_WEBHOOK=precheck-chat-webhook:latest,SINK_KEY=precheck-sink-key:latest
url=$(gcloud run services describe precheck-chat-sink --project "$PROJECT" --region "$REGION" \
    --format 'value(status.url)')
create_secret precheck-sink "$url/$key"
