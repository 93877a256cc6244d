#!/usr/bin/env bash
# Deploys chat_sink/: a Cloud Run service that receives each summary and posts its report to a chat. pubsub.sh and
# eventarc.sh use it as the sink of the function.
#
# Usage: PROJECT=my-project REGION=europe-west1 ./chat-sink.sh < webhook-url
#
# stdin is the URL of the chat's webhook, a secret. It goes to Secret Manager through a pipe.
#
# **Why a service of its own: nothing that exists can be the sink. A topic of Pub/Sub, Eventarc and Workflows need an
# access token that the function does not send. A chat's webhook takes {"text": …} and refuses a CloudEvent. So the
# simplest sink is 20 lines that forward the report.** The function sends no identity, so the service is public, and the
# last part of its URL is a random key.
set -euo pipefail

: "${PROJECT:?PROJECT is not set: the Google Cloud project}"
: "${REGION:?REGION is not set: the region of the Cloud Run services}"
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
account=precheck-chat-sink@$PROJECT.iam.gserviceaccount.com
webhook=$(cat)
[[ $webhook == https://* ]] || { printf 'chat-sink.sh: stdin is not an https URL\n' >&2; exit 2; }
key=$(od -An -N 24 -t x1 /dev/urandom | tr -d ' \n')

# create_secret NAME VALUE: printf is part of the shell, so the value is in no argument of a process.
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
