#!/usr/bin/env bash
# Huawei Cloud: lets EventGrid send events to the function on FunctionGraph. The events need no token: FunctionGraph
# puts the token of an agency into each request.
#
# 1. In IAM, create an agency for FunctionGraph with the policy DDM ReadOnlyAccess, for the project of the DDM instance.
# 2. Deploy the function with the agency and a sink. EventGrid discards the body of a response, so **without a sink,
#    nobody receives the verdict**. To find the number of checks, send the event of a precheck that has finished, and
#    count the different names in the list `checks`:
#      ./deploy.sh functiongraph --project-id … --region … --ddm-region … --agency AGENCY \
#        --allow PROJECT_ID/INSTANCE_ID --env DDM_EXPECTED_CHECKS=8 --env K_SINK=https://…
# 3. In the FunctionGraph console, create an API Gateway trigger: security authentication App with simple
#    authentication, timeout 60000 ms.
# 4. Run this script, once:
#      PROJECT_ID=… REGION=cn-north-4 FUNCTION_URL=https://… ./eventgrid.sh
# 5. In the console, enable the subscription's dead-letter queue: otherwise an event is lost after the last retry.
#
# Then publish CloudEvents to the channel: source precheck-wanted, type com.example.ddm.precheck.wanted, and as data
# {"project_id": …, "instance_id": …, "db_name": …, "job_id": …, "wait_seconds": 40}. With wait_seconds 40, a precheck
# that finishes within about 35 s needs one event delivery.
#
# environment           meaning
#   PROJECT_ID          the Huawei Cloud project
#   REGION              the region of EventGrid
#   FUNCTION_URL        the URL of the trigger
#   HUAWEICLOUD_TOKEN   IAM token of a user with the policy EG FullAccess
#   APP_CODE            the AppCode of the trigger's credential in API Gateway
#   EVENTGRID_ENDPOINT  default: https://eg.REGION.myhuaweicloud.com
set -euo pipefail

for name in PROJECT_ID REGION FUNCTION_URL HUAWEICLOUD_TOKEN APP_CODE; do
    : "${!name:?$name is not set}"
done
export FUNCTION_URL APP_CODE
api=${EVENTGRID_ENDPOINT:-https://eg.$REGION.myhuaweicloud.com}/v1/$PROJECT_ID

# create COLLECTION: sends the JSON on stdin, and prints the ID of the created object. The token and the body go through
# pipes, because other users of the machine can read the arguments of a process.
create() {
    curl --disable --silent --show-error --fail --max-time 30 \
        --header @<(printf 'X-Auth-Token: %s\n' "$HUAWEICLOUD_TOKEN") --header 'Content-Type: application/json' \
        --data-binary @- "$api/$1" | jq --raw-output --exit-status .id
}

channel=$(jq -n '{name: "precheck"}' | create channels)
jq -n --arg channel "$channel" '{name: "precheck-wanted", channel_id: $channel}' | create sources
jq -n --arg channel "$channel" '{
    name: "ddm-precheck",
    channel_id: $channel,
    sources: [{
        name: "precheck-wanted",
        provider_type: "CUSTOM",
        filter: {
            source: [{op: "StringIn", values: ["precheck-wanted"]}],
            type: [{op: "StringIn", values: ["com.example.ddm.precheck.wanted"]}]
        }
    }],
    targets: [{
        name: "HC.APIGW",
        provider_type: "OFFICIAL",
        apigw_detail: {
            url: env.FUNCTION_URL,
            invocation_http_parameters: {
                header_parameters: [{key: "X-Apig-AppCode", value: env.APP_CODE, is_value_secret: true}]
            }
        },
        transform: {type: "ORIGINAL", value: ""}
    }]
}' | create subscriptions
