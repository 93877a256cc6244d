#!/usr/bin/env bash
# Huawei Cloud: EventGrid delivers CloudEvents to the event function.
#
#   ./eventgrid.sh                                  create a channel, a source and a subscription; prints the channel ID
#   ./eventgrid.sh publish CHANNEL_ID < event.json  publish an event, as the data of a CloudEvent
#
# The event is that of docs/reference.md without a token: the function uses the token of its agency. EventGrid invokes
# the function asynchronously, so async.sh sets the retries and where a verdict or a failure goes. The user of
# HUAWEICLOUD_TOKEN needs the policy EG FullAccess.
#
# environment, besides that of common.sh:
#   EVENTGRID_AGENCY   the agency with which EventGrid invokes functions: by default EG_TARGET_AGENCY
set -euo pipefail

# shellcheck source=common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

case ${1-create} in
    create)
        channel=$(jq --null-input '{name: "precheck"}' | send POST "$eventgrid/channels" | jq -re .id)
        jq --null-input --arg channel "$channel" '{name: "precheck-wanted", channel_id: $channel}' \
            | send POST "$eventgrid/sources" >/dev/null
        agency=${EVENTGRID_AGENCY:-EG_TARGET_AGENCY}
        jq --null-input --arg channel "$channel" --arg urn "$urn" --arg agency "$agency" '{
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
                name: "HC.FunctionGraph",
                provider_type: "OFFICIAL",
                detail: {urn: $urn, invoke_type: "ASYNC", agency_name: $agency},
                transform: {type: "ORIGINAL", value: ""}
            }]
        }' | send POST "$eventgrid/subscriptions" >/dev/null
        printf '%s\n' "$channel"
        ;;
    publish)
        [[ ${2-} ]] || die 'usage: eventgrid.sh publish CHANNEL_ID'
        event=$(stored_event)
        as_cloudevent <<<"$event" | jq '{events: [.]}' | send POST "$eventgrid/channels/$2/events" >/dev/null
        ;;
    *) die 'usage: eventgrid.sh [publish CHANNEL_ID]' ;;
esac
