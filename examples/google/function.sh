# shellcheck shell=bash
# Deploys the function for events without a token, and with a sink. pubsub.sh and eventarc.sh source this file.

: "${PROJECT:?PROJECT is not set: the Google Cloud project}"
: "${REGION:?REGION is not set: the region of the Cloud Run service}"
: "${DDM_REGION:?DDM_REGION is not set: the region of DDM}"
: "${ALLOW:?ALLOW is not set: the DDM instances for which the token may be used, PROJECT_ID/INSTANCE_ID}"
: "${EXPECTED_CHECKS:?EXPECTED_CHECKS is not set: the number of different checks in a complete list}"

deploy_function() {
    local here account=ddm-precheck@$PROJECT.iam.gserviceaccount.com secret
    here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
    gcloud iam service-accounts create ddm-precheck --project "$PROJECT"
    for secret in ddm-token precheck-sink; do
        gcloud secrets add-iam-policy-binding "$secret" --project "$PROJECT" \
            --member "serviceAccount:$account" --role roles/secretmanager.secretAccessor
    done
    # An event needs no token: for the allowed instances, the function reads the token from the secret.
    "$here/../../deploy.sh" cloud-run --project "$PROJECT" --region "$REGION" --ddm-region "$DDM_REGION" \
        --service-account "$account" --token-secret ddm-token --allow "$ALLOW" \
        --env "DDM_EXPECTED_CHECKS=$EXPECTED_CHECKS"
    # **Without a sink, nobody receives the verdict: the function responds 200 even for a FAIL, and Pub/Sub and
    # Eventarc discard the body of the response.** With K_SINK, the function first sends each summary to this URL; if
    # the sink does not accept the summary, the broker retries. deploy.sh --env K_SINK=URL also sets K_SINK. This URL
    # contains a key, so the URL is in Secret Manager and in no argument.
    gcloud run services update ddm-precheck --project "$PROJECT" --region "$REGION" \
        --update-secrets K_SINK=precheck-sink:latest
}
