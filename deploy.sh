#!/usr/bin/env bash
# deploy.sh: run the DDM precheck function on this machine, or deploy it.
#
# Usage: ./deploy.sh COMMAND [OPTION]...
#
# Commands:
#   local           make .venv, start a stand-in DDM and the function on port ${PORT:-8080}, send it one
#                   event for each verdict, then serve until Ctrl-C; with DDM_ENDPOINT set, no stand-in
#   cloud-run       deploy to Google Cloud Run functions, private unless said otherwise
#   functiongraph   build dist/ddm-precheck.zip and deploy it to Huawei Cloud FunctionGraph
#
# Options of local:
#   --once                     end after the events; exit 0 when every answer was as it should be
#
# Options of cloud-run:
#   --project ID               the Google Cloud project (required)
#   --region REGION            its region, such as europe-west1 (required)
#   --service NAME             the name of the service (ddm-precheck)
#   --service-account EMAIL    the identity the function runs as (the project's default)
#   --allow-unauthenticated    let anybody on the internet call it
#
# Options of functiongraph:
#   --project-id ID            the Huawei Cloud project (required)
#   --region REGION            its region, such as cn-north-4 (required)
#   --name NAME                the name of the function (ddm-precheck)
#   --package-only             stop when the package is built; needs no other option
#
# Options of cloud-run and functiongraph:
#   --ddm-region REGION        DDM_REGION of the function: the region of events that name none
#   --ddm-endpoint URL         DDM_ENDPOINT of the function, {region} allowed
#
# Options of all:
#   --dry-run                  check what can be checked offline and print the exact commands or calls;
#                              needs no credentials and changes nothing but dist/
#   --help                     show this text
#
# Environment:
#   HUAWEICLOUD_TOKEN          the IAM token for functiongraph; never an argument, never printed
#   FUNCTIONGRAPH_ENDPOINT     (https://functiongraph.{region}.myhuaweicloud.com)
#   PORT                       the port of local (8080)
#
# Exit status: 0 done; 1 it did not work; 2 the call was wrong, and nothing was done.
set -euo pipefail

self=$(readlink -f -- "${BASH_SOURCE[0]}")
root=${self%/*}

# As many requests as threads: more would wait inside an instance while the platform sees no need for another.
readonly THREADS=64

name_pattern='[a-z]([a-z0-9-]{0,47}[a-z0-9])?'
function_pattern='[A-Za-z]([A-Za-z0-9_-]{0,58}[A-Za-z0-9])?'
project_pattern='[a-z0-9]([a-z0-9.:-]{0,61}[a-z0-9])?'
project_id_pattern='[A-Za-z0-9][A-Za-z0-9_-]{0,63}'
region_pattern='[a-z0-9]+(-[a-z0-9]+)*'
account_pattern='[a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com'
# No comma, so that none can end a value of --update-env-vars; the last label of a host is never {region}.
label='([A-Za-z0-9-]|\{region\})+'
tail_pattern='(:[0-9]{1,5})?(/([A-Za-z0-9._~/-]|\{region\})*)?'
endpoint_pattern="https://($label\\.)*[A-Za-z0-9-]+$tail_pattern"
loopback_pattern="http://(localhost|127\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}|\\[::1\\])$tail_pattern"

project='' region='' service=ddm-precheck service_account='' access=--no-allow-unauthenticated
project_id='' name=ddm-precheck package_only='' ddm_region='' ddm_endpoint='' once='' dry_run=''

main() {
    [[ $# -gt 0 ]] || refuse "missing command; try --help"
    local command=$1
    shift
    case $command in
        -h | --help | help) usage ;;
        local | cloud-run | functiongraph)
            parse "$command" "$@"
            # Only the API client has business with the token.
            [[ $command == functiongraph ]] || unset HUAWEICLOUD_TOKEN
            cd -- "$root"
            "deploy_${command//-/_}"
            ;;
        -*) refuse "unknown option: ${command%%=*}" ;;
        *) refuse "unknown command: $(quote "$command")" ;;
    esac
}

usage() {
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$self"
    exit 0
}

parse() {
    local command=$1 value='' used=1
    shift
    while [[ $# -gt 0 ]]; do
        used=1
        case "$command ${1%%=*}" in
            *' -h' | *' --help') usage ;;
            *' --dry-run') flag "$1" && dry_run=--dry-run ;;
            'local --once') flag "$1" && once=--once ;;
            'cloud-run --allow-unauthenticated') flag "$1" && access=--allow-unauthenticated ;;
            'cloud-run --project') take "$@" && project=$value ;;
            'cloud-run --region' | 'functiongraph --region') take "$@" && region=$value ;;
            'cloud-run --service') take "$@" && service=$value ;;
            'cloud-run --service-account') take "$@" && service_account=$value ;;
            'cloud-run --ddm-region' | 'functiongraph --ddm-region') take "$@" && ddm_region=$value ;;
            'cloud-run --ddm-endpoint' | 'functiongraph --ddm-endpoint') take "$@" && ddm_endpoint=$value ;;
            'functiongraph --project-id') take "$@" && project_id=$value ;;
            'functiongraph --name') take "$@" && name=$value ;;
            'functiongraph --package-only') flag "$1" && package_only=1 ;;
            *' -'*) refuse "unknown option for $command: $(quote "${1%%=*}")" ;;
            *) refuse "unexpected argument for $command: $(quote "$1")" ;;
        esac
        shift "$used"
    done
    # What a dry run changes is who acts: the commands are shown instead of run.
    if [[ -n $dry_run ]]; then run() { show "$@"; }; fi
}

# flag ARGUMENT: an option that takes no value.
flag() {
    [[ $1 != *=* ]] || refuse "takes no value: ${1%%=*}"
}

# take ARGUMENT...: sets value to that of the option in front, and used to how many arguments it was.
take() {
    if [[ $1 == *=* ]]; then
        value=${1#*=}
    else
        value=${2-} used=2
    fi
    [[ -n $value && $value != -* ]] || refuse "missing value: ${1%%=*}"
}

deploy_local() {
    local port=${PORT:-8080}
    check PORT "$port" '[0-9]{1,5}' 'a port from 1 to 65535'
    port=$((10#$port))
    ((port >= 1 && port <= 65535)) || refuse "invalid value: PORT $port (a port from 1 to 65535)"
    find_python
    install_requirements
    export PORT=$port
    run exec .venv/bin/python deploy/local.py ${once:+"$once"}
}

# Installs only when there is something new. The mark tells the next run that this one was interrupted.
install_requirements() {
    local mark=.venv/.installing file same=1
    for file in requirements.txt constraints.txt; do
        cmp -s "$file" ".venv/$file" || same=''
    done
    [[ -e $mark ]] || ! .venv/bin/python -c '' 2>/dev/null || [[ -z $same ]] || return 0
    printf 'Installing the requirements into .venv ...\n' >&2
    if [[ -e $mark ]] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        run "$python" -m venv --clear .venv || fail "$python could not make .venv (on Debian: apt install python3-venv)"
    fi
    run touch "$mark"
    run .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt \
        || fail "the requirements could not be installed"
    run cp requirements.txt constraints.txt .venv/
    run rm "$mark"
}

deploy_cloud_run() {
    require --project "$project"
    require --region "$region"
    check --project "$project" "$project_pattern" 'a Google Cloud project ID'
    check --region "$region" "$region_pattern" 'such as europe-west1'
    check --service "$service" "$name_pattern" 'lower-case letters, digits and hyphens, at most 49'
    [[ -z $service_account ]] || check --service-account "$service_account" "$account_pattern" \
        'the e-mail address of a service account'
    check_ddm
    command -v gcloud >/dev/null || fail "gcloud is missing: install the Google Cloud CLI"
    find_python
    check_source

    # --timeout leaves room for DDM_TIMEOUT_SECONDS (10), the sink (5) and a cold start.
    local -a deploy=(
        gcloud run deploy "$service" --project "$project" --region "$region"
        --source "$root" --function precheck --base-image python313
        "$access" --concurrency "$THREADS" --cpu 1 --memory 512Mi --timeout 60s
        --min-instances 0 --max-instances 10
        --update-env-vars "$(cloud_run_environment)"
    )
    [[ -z $service_account ]] || deploy+=(--service-account "$service_account")
    deploy+=(--quiet --format 'value(status.url)')

    local url
    url=$(run "${deploy[@]}") || fail "gcloud run deploy failed"
    if [[ -n $dry_run ]]; then
        printf '%s\n' "$url"
        url='https://SERVICE-URL'
    fi
    [[ -n $url ]] || fail "gcloud run deploy named no URL"
    say_how_to_call "$url"
}

cloud_run_environment() {
    printf 'THREADS=%s' "$THREADS"
    [[ -z $ddm_region ]] || printf ',DDM_REGION=%s' "$ddm_region"
    [[ -z $ddm_endpoint ]] || printf ',DDM_ENDPOINT=%s' "$ddm_endpoint"
}

say_how_to_call() {
    local identity=''
    if [[ $access == --no-allow-unauthenticated ]]; then
        # shellcheck disable=SC2016 # for the caller's shell
        identity=' -H "Authorization: Bearer $(gcloud auth print-identity-token)"'
    fi
    printf '\nURL: %s\n\nCall it, with an IAM token of Huawei Cloud in HUAWEICLOUD_TOKEN:\n' "$1"
    # The token goes through a pipe: the arguments of a process can be read by everybody on its machine.
    printf "  printf 'X-Auth-Token: %%s' \"\$HUAWEICLOUD_TOKEN\" | curl -sS -X POST '%s' -H @-%s -H 'Content-Type: application/json' -d '%s'\n" \
        "$1" "$identity" "$(sample_event)"
}

sample_event() {
    printf '{"project_id": "PROJECT_ID", "instance_id": "INSTANCE_ID", "db_name": "orders", "job_id": "JOB_ID", "region": "%s"}' \
        "${ddm_region:-cn-north-4}"
}

deploy_functiongraph() {
    local endpoint=${FUNCTIONGRAPH_ENDPOINT:-'https://functiongraph.{region}.myhuaweicloud.com'}
    if [[ -z $package_only ]]; then
        require --project-id "$project_id"
        require --region "$region"
    fi
    [[ -z $project_id ]] || check --project-id "$project_id" "$project_id_pattern" 'a Huawei Cloud project ID'
    [[ -z $region ]] || check --region "$region" "$region_pattern" 'such as cn-north-4'
    check --name "$name" "$function_pattern" 'a letter, then letters, digits, hyphens and underscores, at most 60'
    check_ddm
    check_endpoint FUNCTIONGRAPH_ENDPOINT "$endpoint"
    [[ -n $package_only || -n $dry_run ]] || check_token
    find_python
    check_source

    env -u HUAWEICLOUD_TOKEN "$python" -B -m deploy.package || exit 1
    [[ -z $package_only ]] || return 0
    local -a call=(
        "$python" -B -m deploy.functiongraph --endpoint "${endpoint//'{region}'/$region}"
        --project-id "$project_id" --region "$region" --name "$name"
    )
    [[ -z $ddm_region ]] || call+=(--set DDM_REGION "$ddm_region")
    [[ -z $ddm_endpoint ]] || call+=(--set DDM_ENDPOINT "$ddm_endpoint")
    # The calls are the API client's to make or, in a dry run, to show.
    "${call[@]}" ${dry_run:+"$dry_run"} || exit 1
}

check_token() {
    local LC_ALL=C
    [[ -n ${HUAWEICLOUD_TOKEN-} ]] || refuse "missing value: HUAWEICLOUD_TOKEN, the IAM token, is not set"
    [[ $HUAWEICLOUD_TOKEN =~ ^[!-~]+$ ]] || refuse "invalid value: HUAWEICLOUD_TOKEN (printable ASCII without spaces)"
}

check_ddm() {
    [[ -z $ddm_region ]] || check --ddm-region "$ddm_region" "$region_pattern" 'such as cn-north-4'
    [[ -z $ddm_endpoint ]] || check_endpoint --ddm-endpoint "$ddm_endpoint"
}

check_endpoint() {
    check "$1" "$2" "$endpoint_pattern|$loopback_pattern" 'an https URL; http for loopback addresses only'
}

# What is uploaded must at least be readable and start with its endpoint; a platform tells that late.
check_source() {
    "$python" -B -m deploy.source ${ddm_endpoint:+"$ddm_endpoint"} || exit
}

# Sets python to one that runs: a shim on PATH may not, and the one of an active environment is good.
find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        python=$("$candidate" -c 'import sys; print(sys.executable if sys.version_info >= (3, 11) else "")' \
            2>/dev/null) || continue
        [[ -z $python ]] || return 0
    done
    fail "Python 3.11 or newer is missing (tried python3 and python3.14 to python3.11)"
}

require() {
    [[ -n $2 ]] || refuse "missing option: $1"
}

# check NAME VALUE PATTERN HINT: the whole value must match.
check() {
    local LC_ALL=C longest=253
    [[ $1 != *region ]] || longest=32
    [[ $2 =~ ^($3)$ && ${#2} -le $longest ]] || refuse "invalid value: $1 $(quote "$2") ($4)"
}

run() {
    "$@"
}

show() {
    local word line=+
    for word in "$@"; do line+=" $(quote "$word")"; done
    printf '%s\n' "$line"
}

# quote WORD: as a shell reads it back, on one line.
quote() {
    if [[ $1 =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]]; then
        printf '%s' "$1"
    elif [[ $1 == *[![:print:]]* || $1 == *\'* ]]; then
        printf '%q' "$1"
    else
        printf "'%s'" "$1"
    fi
}

refuse() {
    printf 'deploy.sh: %s\n' "$1" >&2
    exit 2
}

fail() {
    printf 'deploy.sh: %s\n' "$1" >&2
    exit 1
}

main "$@"
