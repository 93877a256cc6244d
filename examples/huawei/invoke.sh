#!/usr/bin/env bash
# Huawei Cloud: calls the function through FunctionGraph's API, without a trigger or a gateway.
#
#   ./invoke.sh < event.json          call the event function, and print the summary or the problem
#   ./invoke.sh async < event.json    call the event function asynchronously; prints the ID of the request
#   ./invoke.sh http < event.json     call the HTTP function, by default ddm-precheck, and print its response
#
# An asynchronous call can wait for a whole precheck (wait_seconds). It sends the event as a CloudEvent, so that
# FunctionGraph retries while there is no verdict; async.sh sets where the outcome goes. For the environment, see
# common.sh. The user of HUAWEICLOUD_TOKEN needs the right to invoke the function.
set -euo pipefail

kind=${1-event}
[[ $kind != http ]] || FUNCTION=${FUNCTION:-ddm-precheck}
# shellcheck source=common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

invoke() {
    send POST "$functiongraph/functions/$urn/invocations" 'X-CFF-Request-Version: v1' | jq '.result | fromjson'
}

case $kind in
    event) invoke ;;
    async)
        event=$(stored_event)
        as_cloudevent <<<"$event" | send POST "$functiongraph/functions/$urn/invocations-async" | jq -re .request_id
        ;;
    http)
        # FunctionGraph turns an API Gateway event into an HTTP request, and the response into an API Gateway result.
        request=$(jq '{
            httpMethod: "POST",
            path: "/",
            headers: {"content-type": "application/json"},
            queryStringParameters: {},
            pathParameters: {},
            requestContext: {},
            body: tojson,
            isBase64Encoded: false
        }')
        printf '%s' "$request" | invoke \
            | jq '(if .isBase64Encoded then .body | @base64d else .body // "{}" end) | fromjson'
        ;;
    *) die 'usage: invoke.sh [async|http]' ;;
esac
