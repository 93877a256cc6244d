#!/usr/bin/env bash
# Huawei Cloud: sets how FunctionGraph retries asynchronous invocations of the event function (timers, SMN, Kafka,
# EventGrid, invoke.sh async), and where it sends their outcome. deploy.sh functiongraph --event does the same with
# --retries, --on-success and --on-failure; this script needs no deployment. Give both destinations in each run.
#
# environment, besides that of common.sh:
#   RETRIES      how often a failed invocation is repeated: 0 to 3, by default 3
#   MAX_AGE      for how many seconds: 1 to 86400, by default 86400: a wait and its retries fit
#   ON_SUCCESS   the URN of the SMN topic or function that receives verdicts
#   ON_FAILURE   the URN of the SMN topic or function that receives events without a verdict, after the last retry
# The agency of the function needs the right to publish to the topics or to invoke the functions.
set -euo pipefail

# shellcheck source=common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
[[ ${RETRIES:=3} == [0-3] ]] || die 'RETRIES must be 0, 1, 2 or 3'
[[ ${MAX_AGE:=86400} =~ ^[1-9][0-9]{0,4}$ ]] || die 'MAX_AGE must be a number of seconds'
for name in ON_SUCCESS ON_FAILURE; do
    [[ ${!name-} =~ ^(urn:(smn|fss):.+)?$ ]] || die "$name must be the URN of an SMN topic or of a function"
done

jq --null-input --argjson retries "$RETRIES" --argjson age "$MAX_AGE" \
    --arg success "${ON_SUCCESS-}" --arg failure "${ON_FAILURE-}" '
    def destination($name; $urn):
        if $urn == "" then {}
        elif $urn | startswith("urn:smn:") then {($name): {destination: "SMN", param: ({topic_urn: $urn} | tojson)}}
        else {($name): {destination: "FunctionGraph", param: ({func_urn: $urn} | tojson)}} end;
    {
        max_async_retry_attempts: $retries,
        max_async_event_age_in_seconds: $age,
        enable_async_status_log: true,
        destination_config: (destination("on_success"; $success) + destination("on_failure"; $failure))
    }' | send PUT "$functiongraph/functions/$urn/async-invoke-config" >/dev/null
