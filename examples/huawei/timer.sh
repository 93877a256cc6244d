#!/usr/bin/env bash
# Huawei Cloud: a timer sends one event to the event function again and again.
#
#   ./timer.sh < event.json    create the timer; prints its ID
#   ./timer.sh delete ID       delete the timer, which does not stop by itself after a verdict
#
# The event is that of docs/reference.md without a token: the function uses the token of its agency. The verdict goes to
# K_SINK or to the success destination (async.sh).
#
# environment, besides that of common.sh:
#   SCHEDULE   minutes, hours or days such as 3m, 1h, 1d, or a Cron expression; by default 3m
set -euo pipefail

# shellcheck source=common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

case ${1-create} in
    create)
        event=$(stored_event)
        jq --arg schedule "${SCHEDULE:-3m}" '{
            trigger_type_code: "TIMER",
            trigger_status: "ACTIVE",
            event_data: {
                name: "ddm-precheck",
                schedule_type: (if $schedule | test("^[0-9]+[mhd]$") then "Rate" else "Cron" end),
                schedule: $schedule,
                user_event: tojson
            }
        }' <<<"$event" | send POST "$functiongraph/triggers/$urn" | jq -re .trigger_id
        ;;
    delete)
        [[ ${2-} ]] || die 'usage: timer.sh delete ID'
        send DELETE "$functiongraph/triggers/$urn/TIMER/$2" </dev/null >/dev/null
        ;;
    *) die 'usage: timer.sh [delete ID]' ;;
esac
