#!/usr/bin/env bash
# deploy.sh: run the DDM precheck function on this machine, or deploy it.
#
# Usage: ./deploy.sh COMMAND [OPTION]...
#
# Commands:
#   local           install the requirements into .venv, start a fake DDM and the function on port ${PORT:-8080},
#                   send it sample events, then serve until Ctrl-C; if DDM_ENDPOINT is set, there is no fake DDM
#   cloud-run       deploy to Google Cloud Run functions, for authenticated callers only by default
#   functiongraph   build dist/ddm-precheck.zip and deploy it to Huawei Cloud FunctionGraph
#
# Options of local:
#   --once                     exit after the samples; exit status 0 if every response is as expected
#   --verbose                  print every request and response completely, not only the first
#
# Options of cloud-run:
#   --project ID               the Google Cloud project (required)
#   --region REGION            the region of Google Cloud, such as europe-west1 (required)
#   --service NAME             the name of the service (default: ddm-precheck)
#   --service-account EMAIL    the service account of the function (default: the default account of the project)
#   --allow-unauthenticated    allow everybody on the internet to call the function
#   --token-secret NAME        the secret with the IAM token for events without a token; mounted as a file. The
#                              service account needs the role Secret Manager Secret Accessor; needs --allow
#
# Options of functiongraph:
#   --project-id ID            the Huawei Cloud project (required)
#   --region REGION            the region of Huawei Cloud, such as cn-north-4 (required)
#   --name NAME                the name of the function (default: ddm-precheck)
#   --agency NAME              the agency whose IAM token is for events without a token; needs --allow
#   --package-only             build the package and stop; no other option is required
#
# Options of cloud-run and functiongraph:
#   --ddm-region REGION        the region of DDM for events without a region (DDM_REGION)
#   --ddm-endpoint URL         the base URL of DDM, may contain {region} (DDM_ENDPOINT)
#   --allow LIST               the instances for which the token of --token-secret or --agency may be used:
#                              PROJECT_ID/INSTANCE_ID or PROJECT_ID/*, separated by commas
#   --env NAME=VALUE           another variable of the function, such as K_SINK=https://sink.example; may be repeated.
#                              Set a variable that is not the function's own, such as HTTPS_PROXY, on the platform.
#                              Variables of earlier deployments are kept. DDM_MAX_WAIT_SECONDS and DDM_TIMEOUT_SECONDS
#                              also set the platform's timeout; repeat them in each deployment to Cloud Run
#
# Options of all commands:
#   --dry-run                  check what can be checked offline and print the exact commands or requests; needs no
#                              credentials and no gcloud, deploys nothing and changes only dist/
#   --help                     print this text
#
# Environment:
#   HUAWEICLOUD_TOKEN          the IAM token for functiongraph; never an argument, never printed
#   FUNCTIONGRAPH_ENDPOINT     FunctionGraph's API (default: https://functiongraph.{region}.myhuaweicloud.com)
#   PORT                       the port of local (default: 8080)
#
# Exit status: 0 success; 1 failure; 2 wrong usage: nothing is done.
set -euo pipefail

program=deploy.sh
self=$(readlink -f -- "${BASH_SOURCE[0]}")
root=${self%/*}
# shellcheck source=deploy/common.sh
source "$root/deploy/common.sh"

# The number of requests at the same time in one instance. An instance has as many threads (THREADS), so that no request
# waits for a thread.
readonly CONCURRENCY=64

readonly SERVICE_PATTERN='[a-z]([a-z0-9-]{0,47}[a-z0-9])?'
readonly FUNCTION_PATTERN='[A-Za-z]([A-Za-z0-9_-]{0,58}[A-Za-z0-9])?'
readonly PROJECT_PATTERN='[a-z0-9]([a-z0-9.:-]{0,61}[a-z0-9])?'
readonly PROJECT_ID_PATTERN='[A-Za-z0-9][A-Za-z0-9_-]{0,63}'
readonly REGION_PATTERN='[a-z0-9]+(-[a-z0-9]+)*'
readonly ACCOUNT_PATTERN='[a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com'
readonly SECRET_PATTERN='[A-Za-z0-9_-]+'
readonly AGENCY_PATTERN='[A-Za-z0-9_]([A-Za-z0-9 _.-]{0,62}[A-Za-z0-9_])?'

project='' region='' service=ddm-precheck service_account='' access=--no-allow-unauthenticated token_secret=''
project_id='' name=ddm-precheck agency='' package_only='' allow='' once='' verbose='' dry_run=''
# The options that set variables of the function. deploy/variables.py checks them.
variable_options=()

main() {
    [[ $# -gt 0 ]] || usage_error "missing command; try --help"
    local command=$1
    shift
    case $command in
        -h | --help | help) print_help ;;
        local | cloud-run | functiongraph) ;;
        -*) usage_error "unknown option: ${command%%=*}" ;;
        *) usage_error "unknown command: $(quote "$command")$(suggest_command "$command")" ;;
    esac
    parse_options "$command" "$@"
    # Only the client of FunctionGraph's API needs the token.
    [[ $command == functiongraph ]] || unset HUAWEICLOUD_TOKEN
    cd -- "$root"
    "deploy_${command//-/_}"
    [[ -z $dry_run ]] || printf 'Dry run: nothing was deployed.\n'
}

print_help() {
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$self"
    exit 0
}

suggest_command() {
    shopt -s nocasematch
    case ${1//[-_ ]/} in
        cloudrun) printf ' (did you mean cloud-run?)' ;;
        functiongraph) printf ' (did you mean functiongraph?)' ;;
        local) printf ' (did you mean local?)' ;;
    esac
}

parse_options() {
    local command=$1 option value='' used=1
    shift
    while [[ $# -gt 0 ]]; do
        option=${1%%=*} used=1
        case "$command $option" in
            *' -h' | *' --help') print_help ;;
            *' --dry-run') require_no_value "$1" && dry_run=--dry-run ;;
            'local --once') require_no_value "$1" && once=--once ;;
            'local --verbose') require_no_value "$1" && verbose=--verbose ;;
            'cloud-run --allow-unauthenticated') require_no_value "$1" && access=--allow-unauthenticated ;;
            'cloud-run --project') parse_value "$@" && project=$value ;;
            'cloud-run --region' | 'functiongraph --region') parse_value "$@" && region=$value ;;
            'cloud-run --service') parse_value "$@" && service=$value ;;
            'cloud-run --service-account') parse_value "$@" && service_account=$value ;;
            'cloud-run --token-secret') parse_value "$@" && token_secret=$value && variable_options+=("$option=$value") ;;
            'functiongraph --project-id') parse_value "$@" && project_id=$value ;;
            'functiongraph --name') parse_value "$@" && name=$value ;;
            'functiongraph --agency') parse_value "$@" && agency=$value && variable_options+=("$option=$value") ;;
            'functiongraph --package-only') require_no_value "$1" && package_only=1 ;;
            'cloud-run --allow' | 'functiongraph --allow') parse_value "$@" && allow=$value && variable_options+=("$option=$value") ;;
            'cloud-run --ddm-region' | 'cloud-run --ddm-endpoint' | 'cloud-run --env' | \
                'functiongraph --ddm-region' | 'functiongraph --ddm-endpoint' | 'functiongraph --env')
                parse_value "$@" && variable_options+=("$option=$value") ;;
            *' -'*) usage_error "unknown option for $command: $(quote "$option")" ;;
            *) usage_error "unexpected argument for $command: $(quote "$1")" ;;
        esac
        shift "$used"
    done
    # A dry run prints the commands that would run.
    if [[ -n $dry_run ]]; then run() { print_command "$@"; }; fi
}

require_no_value() {
    [[ $1 != *=* ]] || usage_error "takes no value: ${1%%=*}"
}

# parse_value ARGUMENT...: sets value to the value of the option in the first argument, and used to the number of
# arguments that the option and its value take.
parse_value() {
    if [[ $1 == *=* ]]; then
        value=${1#*=}
    else
        value=${2-} used=2
    fi
    [[ -n $value && $value != -* ]] || usage_error "missing value: ${1%%=*}"
}

deploy_local() {
    local port=${PORT:-8080}
    check PORT "$port" '[0-9]{1,5}' 'a port from 1 to 65535'
    port=$((10#$port))
    ((port >= 1 && port <= 65535)) || usage_error "invalid value: PORT $port (a port from 1 to 65535)"
    find_python
    install_requirements
    export PORT=$port
    local -a command=(.venv/bin/python -m deploy.local ${once:+"$once"} ${verbose:+"$verbose"})
    if [[ -n $dry_run ]]; then
        print_command exec "${command[@]}"
    else
        exec "${command[@]}"
    fi
}

# Installs the requirements if they are new or changed. The file .installing exists until the installation is complete.
install_requirements() {
    if is_installed .venv requirements.txt constraints.txt; then return; fi
    [[ -n $dry_run ]] || printf 'Installing the requirements into .venv ...\n' >&2
    if [[ -e .venv/.installing ]] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        run "$python" -m venv --clear .venv || fail "$python could not create .venv (on Debian: apt install python3-venv)"
    fi
    run touch .venv/.installing
    run .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt \
        || fail "the requirements could not be installed"
    run cp requirements.txt constraints.txt .venv/
    run rm .venv/.installing
}

deploy_cloud_run() {
    require --project "$project"
    require --region "$region"
    check --project "$project" "$PROJECT_PATTERN" 'a Google Cloud project ID'
    check --region "$region" "$REGION_PATTERN" 'such as europe-west1'
    check --service "$service" "$SERVICE_PATTERN" 'lower-case letters, digits and hyphens, at most 49'
    [[ -z $service_account ]] || check --service-account "$service_account" "$ACCOUNT_PATTERN" \
        'the e-mail address of a service account'
    require_with_allow --token-secret "$token_secret"
    [[ -z $token_secret ]] || check --token-secret "$token_secret" "$SECRET_PATTERN" 'the name of a secret'
    find_python
    check_source
    local lines timeout ddm_region variables
    lines=$(check_variables --cloud-run "$access") || exit
    { read -r timeout && read -r ddm_region && IFS= read -r variables; } <<<"$lines"
    [[ -n $dry_run ]] || command -v gcloud >/dev/null || fail "gcloud is missing: install the Google Cloud CLI"

    local -a deploy=(
        gcloud run deploy "$service" --project "$project" --region "$region"
        --source "$root" --function precheck --base-image python313
        "$access" --concurrency "$CONCURRENCY" --cpu 1 --memory 512Mi --timeout "${timeout}s"
        --min-instances 0 --max-instances 10 --update-env-vars "$variables"
    )
    [[ -z $token_secret ]] || deploy+=(--update-secrets "/secrets/ddm-token/token=$token_secret:latest")
    [[ -z $service_account ]] || deploy+=(--service-account "$service_account")
    deploy+=(--quiet --format 'value(status.url)')

    local url
    url=$(run "${deploy[@]}") || fail "gcloud run deploy failed"
    if [[ -n $dry_run ]]; then
        printf '%s\n' "$url"
        url='https://SERVICE_URL'
    fi
    [[ -n $url ]] || fail "gcloud run deploy printed no URL"
    print_curl "$url" "$ddm_region"
}

# print_curl URL DDM_REGION: prints a command that calls the function.
print_curl() {
    local identity='' token='' header='' region=''
    if [[ $access == --no-allow-unauthenticated ]]; then
        # shellcheck disable=SC2016 # the caller's shell expands it
        identity=' -H "Authorization: Bearer $(gcloud auth print-identity-token)"'
    fi
    if [[ -n $token_secret ]]; then
        printf '\nURL: %s\n\nCall the function for an instance in --allow:\n' "$1"
    else
        printf '\nURL: %s\n\nCall the function with an IAM token of Huawei Cloud in HUAWEICLOUD_TOKEN:\n' "$1"
        # Every user of a machine can read the arguments of its processes, so the token goes through a pipe.
        # shellcheck disable=SC2016 # the caller's shell expands it
        token='printf '\''X-Auth-Token: %s'\'' "$HUAWEICLOUD_TOKEN" | ' header=' -H @-'
    fi
    [[ -n $2 ]] || region=', "region": "DDM_REGION"'
    printf "  %scurl -sS -X POST '%s'%s%s -H 'Content-Type: application/json' -d '%s'\n" \
        "$token" "$1" "$header" "$identity" \
        "{\"project_id\": \"PROJECT_ID\", \"instance_id\": \"INSTANCE_ID\", \"db_name\": \"orders\", \"job_id\": \"JOB_ID\"$region}"
}

deploy_functiongraph() {
    local endpoint=${FUNCTIONGRAPH_ENDPOINT:-'https://functiongraph.{region}.myhuaweicloud.com'}
    if [[ -z $package_only ]]; then
        require --project-id "$project_id"
        require --region "$region"
    fi
    [[ -z $project_id ]] || check --project-id "$project_id" "$PROJECT_ID_PATTERN" 'a Huawei Cloud project ID'
    [[ -z $region ]] || check --region "$region" "$REGION_PATTERN" 'such as cn-north-4'
    check --name "$name" "$FUNCTION_PATTERN" 'a letter, then letters, digits, hyphens and underscores, at most 60'
    require_with_allow --agency "$agency"
    [[ -z $agency ]] || check --agency "$agency" "$AGENCY_PATTERN" 'the name of an agency, at most 64 characters'
    [[ -n $package_only || -n $dry_run ]] || check_token
    find_python
    check_source
    check_variables --functiongraph-endpoint "$endpoint" || exit

    env -u HUAWEICLOUD_TOKEN "$python" -B -m deploy.package || exit
    [[ -z $package_only ]] || return 0
    "$python" -B -m deploy.functiongraph --endpoint "$endpoint" --project-id "$project_id" --region "$region" \
        --name "$name" ${variable_options[@]+"${variable_options[@]}"} ${dry_run:+"$dry_run"} || exit
}

check_token() {
    local LC_ALL=C
    [[ -n ${HUAWEICLOUD_TOKEN-} ]] || usage_error "missing value: HUAWEICLOUD_TOKEN, the IAM token, is not set"
    [[ $HUAWEICLOUD_TOKEN =~ ^[!-~]+$ ]] \
        || usage_error "invalid value: HUAWEICLOUD_TOKEN (printable ASCII without spaces)"
}

# Checks that the files to deploy exist and can be parsed: otherwise the platform reports the error after the upload.
check_source() {
    env -u HUAWEICLOUD_TOKEN "$python" -B -m deploy.source || exit
}

# check_variables OPTION...: checks the variables of the deployed function with the function's own settings.
check_variables() {
    env -u HUAWEICLOUD_TOKEN "$python" -B -m deploy.variables "$@" ${variable_options[@]+"${variable_options[@]}"}
}

require() {
    [[ -n $2 ]] || usage_error "missing option: $1"
}

# require_with_allow OPTION VALUE: requires that both OPTION and --allow are set, or neither.
require_with_allow() {
    [[ -n $2 || -z $allow ]] || usage_error "missing option: $1 (--allow requires it)"
    [[ -z $2 || -n $allow ]] || usage_error "missing option: --allow ($1 requires it)"
}

# check NAME VALUE PATTERN HINT: the whole value must match the pattern.
check() {
    local LC_ALL=C max_length=253
    [[ $1 != *region ]] || max_length=32
    [[ $2 =~ ^($3)$ && ${#2} -le $max_length ]] || usage_error "invalid value: $1 $(quote "$2") ($4)"
}

# A dry run replaces this function.
run() {
    "$@"
}

print_command() {
    local word line=+
    for word in "$@"; do line+=" $(quote "$word")"; done
    printf '%s\n' "$line"
}

# quote WORD: prints the word on one line, quoted for a shell.
quote() {
    if [[ $1 =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]]; then
        printf '%s' "$1"
    elif [[ $1 == *[![:print:]]* || $1 == *\'* ]]; then
        printf '%q' "$1"
    else
        printf "'%s'" "$1"
    fi
}

usage_error() {
    printf 'deploy.sh: %s\n' "$1" >&2
    exit 2
}

main "$@"
