#!/usr/bin/env bash
# Requests the verdict of a DDM precheck, and ends with an exit status on which a shell pipeline can branch.
#
#   DDM_PRECHECK_URL=https://… DDM_TOKEN=… ./pipeline.sh project_id=… instance_id=… db_name=… expected_checks=8 \
#     < started.json && ./change-shards.sh
#
# stdin is the response of DDM to the POST that started the precheck (job_id and pre_check_results), unchanged. The
# arguments add fields of the event, or replace them, so stdin can also be the whole event: event.json is a sample.
#
# argument          meaning
#   project_id, instance_id, db_name
#                   the IDs in the URL of the POST
#   region          region of the instance, unless the function has a default
#   expected_checks number of different asynchronous checks in a complete list. Without it, an incomplete list can be a
#                   PASS. To find it, count the names in the response for a precheck that has finished:
#                   jq '[.checks[] | select(.phase == "asynchronous").name] | unique | length'
#   wait_seconds    maximum time to wait for the verdict in one request. With 40, a precheck that finishes within 40 s
#                   needs one request
#
# stdout is the response as the function sent it. stderr is the report, for a person.
#
# exit status   meaning
#   0           go: can_proceed is true
#   1           stop: a check failed. A FAIL cannot be approved: repair the cause and start a new precheck
#   2           error: there is no verdict (invalid event, expired token, no usable response, a missing tool)
#   3           still retryable after MAX_POLLS requests: pending, throttled, or DDM is not available
#   4           approval needed: no check failed, at least one check warned. stderr ends with the variable to set
#
# environment          default   meaning
#   DDM_PRECHECK_URL             URL of the function, without a redirect
#   DDM_TOKEN                    IAM token; keep it among the secrets of the pipeline
#   IDENTITY_TOKEN               for a private function on Cloud Run: $(gcloud auth print-identity-token)
#   ACCEPTED_WARNINGS            after an approval: JSON list of exactly the names that a person has approved. A WARN
#                                may proceed only if every check that warned is in the list
#   MAX_POLLS          30        maximum number of requests
#   MAX_WAIT_SECONDS   300       maximum time between two requests, whatever retry_after_seconds is
set -uo pipefail

readonly GO=0 STOP=1 ERROR=2 STILL_RETRYABLE=3 APPROVAL_NEEDED=4

fail() {
  printf 'error: %s\n' "$1" >&2
  exit "$ERROR"
}

check_arguments() {
  local argument
  for argument in "$@"; do
    case $argument in
      project_id=?* | instance_id=?* | db_name=?* | region=?*) ;;
      expected_checks=* | wait_seconds=*)
        [[ ${argument#*=} =~ ^[0-9]+$ ]] || fail "${argument%%=*} must be a whole number"
        ;;
      *) fail 'an argument must be NAME=VALUE; the names are project_id, instance_id, db_name, region, expected_checks and wait_seconds' ;;
    esac
  done
}

# Prints stdin with the arguments and the approved names as further fields.
build_event() {
  jq --compact-output --slurp '
    (if length == 1 and (.[0] | type) == "object" then .[0] else error("not one object") end)
    + ([$ARGS.positional[] | capture("^(?<key>[a-z_]+)=(?<value>.*)$"; "s")
        | if .key == "expected_checks" or .key == "wait_seconds" then .value |= tonumber else . end] | from_entries)
    + (env.ACCEPTED_WARNINGS // "" | if . == "" then {} else {accepted_warnings: fromjson} end)
  ' --args "$@" 2>/dev/null
}

is_list_of_names() {
  jq --null-input --exit-status 'env.ACCEPTED_WARNINGS | fromjson | type == "array" and length > 0 and all(type == "string")' \
    >/dev/null 2>&1
}

print_headers() {
  printf 'X-Auth-Token: %s\n' "$DDM_TOKEN"
  [[ -z ${IDENTITY_TOKEN:-} ]] || printf 'Authorization: Bearer %s\n' "$IDENTITY_TOKEN"
}

# Other users of the machine can read the arguments of a process, so the token and the event go through pipes; printf is
# part of the shell. curl follows no redirect, so that no other host receives the token.
send_event() {
  printf '%s' "$event" | curl --disable --silent --show-error --max-time 60 \
    --header @<(print_headers) \
    --header 'Content-Type: application/json' \
    --data-binary @- "$DDM_PRECHECK_URL"
}

# Prints the name of the branch. Only the JSON value true means go. A response that matches no condition is an error.
choose_branch() {
  jq --raw-output --slurp '
    if length != 1 or (.[0] | type) != "object" then "error"
    else .[0]
      | if .can_proceed == true then "go"
        elif .retryable == true then "wait"
        elif .can_proceed != false then "error"
        elif .verdict == "FAIL" then "stop"
        elif .verdict == "WARN" and (.issues | type) == "array" then "approval"
        else "error" end
    end' <<<"$1" 2>/dev/null || echo error
}

# Prints the report, or the message of a response that has no report.
print_report() {
  jq --raw-output '.report // .message' <<<"$1" 2>/dev/null >&3
}

# Prints the variable that approves the warnings, quoted for a shell.
print_approval() {
  jq --raw-output '[.issues[] | select(.status == "WARN").name] | unique | tojson
    | "To approve exactly these warnings, run again with ACCEPTED_WARNINGS=\(@sh)"' <<<"$1" 2>/dev/null >&3
}

print_pause() {
  jq --argjson max "$max_wait" '[.retry_after_seconds // 10, $max] | min' <<<"$1"
}

[[ -n ${DDM_PRECHECK_URL:-} ]] || fail 'DDM_PRECHECK_URL is not set'
[[ -n ${DDM_TOKEN:-} ]] || fail 'DDM_TOKEN is not set'
max_polls=${MAX_POLLS:-30} max_wait=${MAX_WAIT_SECONDS:-300}
[[ $max_polls =~ ^[1-9][0-9]*$ && $max_wait =~ ^[0-9]+$ ]] || fail 'MAX_POLLS and MAX_WAIT_SECONDS must be whole numbers, MAX_POLLS at least 1'
check_arguments "$@"
for tool in curl jq; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done
[[ -z ${ACCEPTED_WARNINGS:-} ]] || is_list_of_names || fail 'ACCEPTED_WARNINGS is not a JSON list of names'
event=$(build_event "$@") || fail 'stdin is not one JSON object'

exec 3>&2
for ((poll = 1; poll <= max_polls; poll++)); do
  response=$(send_event) || fail "no response from $DDM_PRECHECK_URL"
  branch=$(choose_branch "$response")
  print_report "$response"
  [[ $branch == wait ]] || break
  ((poll == max_polls)) || sleep "$(print_pause "$response")"
done

printf '%s\n' "$response"
case $branch in
  go) exit "$GO" ;;
  stop) exit "$STOP" ;;
  wait) exit "$STILL_RETRYABLE" ;;
  approval)
    print_approval "$response"
    exit "$APPROVAL_NEEDED"
    ;;
  *) fail 'there is no verdict' ;;
esac
