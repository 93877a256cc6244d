#!/usr/bin/env bash
# Ask the DDM precheck function and let a shell pipeline branch on the exit status.
#
#   DDM_PRECHECK_URL=https://… DDM_TOKEN=… ./pipeline.sh < event.json && ./shard.sh
#
# The event (project_id, instance_id, db_name, job_id, …) comes on stdin. The answer goes to stdout as it came, the
# message and the issues to stderr.
#
# exit status   meaning
#   0           go: can_proceed is true
#   1           stop: the checks found what must be solved first
#   2           error: there is no verdict (wrong event, expired token, no answer, not a usable answer, a tool missing)
#   3           still no final answer after MAX_POLLS
#
# environment        default   meaning
#   DDM_PRECHECK_URL           where the function answers
#   DDM_TOKEN                  IAM token; keep it among the pipeline's secrets
#   MAX_POLLS        30        how often to ask at most
#   MAX_WAIT_SECONDS 300       the longest wait between two questions, whatever the answer asks for
set -uo pipefail

readonly GO=0 STOP=1 ERROR=2 STILL_PENDING=3

fail() {
  printf 'error: %s\n' "$1" >&2
  exit "$ERROR"
}

# printf is part of the shell, so the token shows in no process list; no redirect is followed, so it stays with this host.
ask() {
  curl --disable --silent --show-error --max-time 60 \
    --header @<(printf 'X-Auth-Token: %s\n' "$DDM_TOKEN") \
    --header 'Content-Type: application/json' \
    --data-binary "$1" "$DDM_PRECHECK_URL"
}

# Prints one word. Only the JSON value true means go; whatever is not understood is an error.
branch() {
  jq --raw-output --slurp '
    if length != 1 or (.[0] | type) != "object" then "error"
    else .[0]
      | if .can_proceed == true then "go"
        elif .retryable == true then "wait"
        elif .can_proceed == false and (.verdict == "FAIL" or .verdict == "WARN") then "stop"
        else "error" end
    end' <<<"$1" 2>/dev/null || echo error
}

# The message and the issues, for a person; nothing where the answer has none.
explain() {
  jq --raw-output '.message, (.issues[]? | "- \(.status) \(.name): \(.error // .note // .suggestion // "")")' \
    <<<"$1" 2>/dev/null >&3
}

[[ -n ${DDM_PRECHECK_URL:-} ]] || fail 'DDM_PRECHECK_URL is not set'
[[ -n ${DDM_TOKEN:-} ]] || fail 'DDM_TOKEN is not set'
max_polls=${MAX_POLLS:-30} max_wait=${MAX_WAIT_SECONDS:-300}
[[ $max_polls =~ ^[1-9][0-9]*$ && $max_wait =~ ^[0-9]+$ ]] || fail 'MAX_POLLS and MAX_WAIT_SECONDS are whole numbers, MAX_POLLS at least 1'
for tool in curl jq; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done
event=$(cat)

exec 3>&2
for ((poll = 1; poll <= max_polls; poll++)); do
  answer=$(ask "$event") || fail "no answer from $DDM_PRECHECK_URL"
  next=$(branch "$answer")
  explain "$answer"
  [[ $next == wait ]] || break
  ((poll == max_polls)) || sleep "$(jq --argjson longest "$max_wait" '[.retry_after_seconds // 10, $longest] | min' <<<"$answer")"
done

printf '%s\n' "$answer"
case $next in
  go) exit "$GO" ;;
  stop) exit "$STOP" ;;
  wait) exit "$STILL_PENDING" ;;
  *) fail 'there is no verdict' ;;
esac
