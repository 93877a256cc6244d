# shellcheck shell=bash
# Shared by the scripts in this folder, which source it: their variables, and requests to Huawei Cloud's APIs.
#
# environment           meaning
#   PROJECT_ID          the Huawei Cloud project of the function
#   REGION              the region of the function
#   FUNCTION            the name of the function: by default ddm-precheck-event, as deploy.sh functiongraph --event sets
#   HUAWEICLOUD_TOKEN   IAM token of a user who may send the request; docs/first-precheck.md shows how to get one
#   DRY_RUN=1           print the requests to stderr, without tokens, and send nothing
#   FUNCTIONGRAPH_ENDPOINT, EVENTGRID_ENDPOINT, SMN_ENDPOINT: by default https://SERVICE.REGION.myhuaweicloud.com
#
# Tokens and bodies go to curl through pipes: other users of a machine can read the arguments of a process.

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 2
}

require() {
    local name
    for name; do
        [[ ${!name-} ]] || die "$name is not set"
    done
}

require PROJECT_ID REGION
[[ ${DRY_RUN-} ]] || require HUAWEICLOUD_TOKEN
# shellcheck disable=SC2034 # the scripts use these variables
{
    urn=urn:fss:$REGION:$PROJECT_ID:function:default:${FUNCTION:-ddm-precheck-event}:latest
    functiongraph=${FUNCTIONGRAPH_ENDPOINT:-https://functiongraph.$REGION.myhuaweicloud.com}/v2/$PROJECT_ID/fgs
    eventgrid=${EVENTGRID_ENDPOINT:-https://eg.$REGION.myhuaweicloud.com}/v1/$PROJECT_ID
    smn=${SMN_ENDPOINT:-https://smn.$REGION.myhuaweicloud.com}/v2/$PROJECT_ID
}

# stored_event: prints the event on stdin. A trigger or a queue stores the event, so it must not have a token.
stored_event() {
    local event
    event=$(jq --slurp --compact-output 'if map(type) == ["object"] then .[0] else error end' 2>/dev/null) \
        || die 'stdin must be the event, a JSON object'
    jq --exit-status '.token == null' <<<"$event" >/dev/null \
        || die 'the event has a token, which would be stored; use the token of an agency'
    printf '%s\n' "$event"
}

# as_cloudevent: prints the event on stdin as a CloudEvent, whose data it is.
as_cloudevent() {
    jq '{
        id: "\(.job_id)-\(now)",
        specversion: "1.0",
        source: "precheck-wanted",
        type: "com.example.ddm.precheck.wanted",
        datacontenttype: "application/json",
        time: (now | todate),
        data: .
    }'
}

# send METHOD URL [HEADER]: sends the JSON on stdin, and prints the response. Any status other than 2xx is an error.
send() {
    local body=() response
    if [[ ${DRY_RUN-} ]]; then
        printf '%s %s\n' "$1" "$2" >&2
        jq 'def mask: walk(if type == "object" and .token then .token = "***" else . end);
            mask | walk(if type == "string" then (fromjson? | objects | mask | tojson) // . else . end)' >&2
        # The fields that the scripts read from responses.
        printf '%s' '{"id": "ID", "trigger_id": "ID", "request_id": "ID", "result": "{}"}'
        return
    fi
    [[ $1 == DELETE ]] || body=(--data-binary @-)
    response=$(curl --disable --silent --show-error --max-time 120 --request "$1" --write-out '\n%{http_code}' \
        --header @<(printf 'X-Auth-Token: %s\n' "$HUAWEICLOUD_TOKEN") --header 'Content-Type: application/json' \
        ${3+--header "$3"} "${body[@]}" "$2")
    if [[ ${response##*$'\n'} != 2?? ]]; then
        printf '%s: %s %s: status %s\n%s\n' "${0##*/}" "$1" "$2" "${response##*$'\n'}" "${response%$'\n'*}" >&2
        return 1
    fi
    printf '%s' "${response%$'\n'*}"
}
