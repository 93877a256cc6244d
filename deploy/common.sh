# shellcheck shell=bash
# Functions for deploy.sh and tests/run. Error messages start with $program, which the caller sets.

fail() {
    # shellcheck disable=SC2154 # the caller sets program
    printf '%s: %s\n' "$program" "$1" >&2
    exit 1
}

# find_python: sets python to the path of a Python that runs and is new enough. A candidate may exist but not run, such
# as a shim of pyenv. The Python of an active virtual environment is accepted.
find_python() {
    local candidate check='import sys; print(sys.executable if sys.version_info >= (3, 11) else "")'
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        python=$(env -u HUAWEICLOUD_TOKEN "$candidate" -c "$check" 2>/dev/null) || continue
        [[ -z $python ]] || return 0
    done
    fail "Python 3.11 or newer is missing (tried python3 and python3.14 to python3.11)"
}
