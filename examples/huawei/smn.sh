#!/usr/bin/env bash
# Huawei Cloud: the messages of an SMN topic are events for the event function.
#
#   ./smn.sh                         let the topic trigger the function; prints the ID of the trigger
#   ./smn.sh publish < event.json    publish an event; prints the ID of the request
#
# The event is that of docs/reference.md without a token: the function uses the token of its agency. **Do not use this
# topic as a destination in async.sh: each verdict would trigger the function.**
#
# environment, besides that of common.sh:
#   TOPIC_URN   the topic: urn:smn:REGION:PROJECT_ID:NAME
set -euo pipefail

# shellcheck source=common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
require TOPIC_URN

case ${1-create} in
    create)
        jq --null-input --arg topic "$TOPIC_URN" '{trigger_type_code: "SMN", event_data: {topic_urn: $topic}}' \
            | send POST "$functiongraph/triggers/$urn" | jq -re .trigger_id
        ;;
    publish)
        event=$(stored_event)
        jq '{subject: "ddm-precheck", message: tojson}' <<<"$event" \
            | send POST "$smn/notifications/topics/$TOPIC_URN/publish" | jq -re .request_id
        ;;
    *) die 'usage: smn.sh [publish]' ;;
esac
