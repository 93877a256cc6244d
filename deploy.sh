#!/usr/bin/env bash
# Runs the DDM precheck function on this machine, or deploys it: ./deploy.sh --help describes the commands.
set -euo pipefail

program=deploy.sh
self=$(readlink -f -- "${BASH_SOURCE[0]}")
cd -- "${self%/*}"
# shellcheck source=deploy/common.sh
source deploy/common.sh

find_python
exec "$python" -B -m deploy "$@"
