"""The environment variables of the deployed function: parsed from options, checked by the function's own settings."""

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ddm_precheck import settings
from deploy import errors
from deploy.errors import DeployError, UsageError

NAMES: Final = (
    "DDM_REGION",
    "DDM_ENDPOINT",
    "DDM_TOKEN_SOURCE",
    "DDM_ALLOWED_INSTANCES",
    "DDM_TIMEOUT_SECONDS",
    "DDM_EXPECTED_CHECKS",
    "DDM_MAX_WAIT_SECONDS",
    "K_SINK",
)
"""The variables of the function that a deployment may set."""

TOKEN_FILE: Final = "/secrets/ddm-token/token"  # noqa: S105 - a path
"""The path at which Cloud Run mounts the secret of ``--token-secret``."""

_OPTIONS: Final = {
    "DDM_REGION": {"--ddm-region": "the region of DDM for events without a region"},
    "DDM_ENDPOINT": {"--ddm-endpoint": "the base URL of DDM, may contain {region}"},
    "DDM_TOKEN_SOURCE": {
        "--token-secret": "the secret with the IAM token for events without a token",
        "--agency": "the agency whose IAM token is for events without a token",
    },
    "DDM_ALLOWED_INSTANCES": {"--allow": "the instances for which the token of --token-secret or --agency may be used"},
}
_MAX_USER_DATA_LENGTH: Final = 4096
_MIN_TIMEOUT_SECONDS: Final = 60
_MAX_CLOUD_RUN_TIMEOUT_SECONDS: Final = 3600
# In addition to the wait and the last request to DDM: 5 seconds for the sink, and 5 seconds for everything else.
_OTHER_SECONDS: Final = 10
_CLOUD_RUN_THREADS: Final = 64
_DELIMITERS: Final = ",@;|#~"


def main(arguments: Sequence[str]) -> int:
    """Check the options, as ``python -m deploy.variables``. With ``--cloud-run``, print three lines for ``gcloud``.

    The lines are the timeout in seconds, the default region (which may be empty), and the value of
    ``--update-env-vars``.
    """
    parser = argparse.ArgumentParser(
        prog="deploy.variables", description="Check the function's variables.", allow_abbrev=False
    )
    parser.add_argument("--cloud-run", action="store_true", help="print the three lines for gcloud")
    parser.add_argument(
        "--allow-unauthenticated", action=argparse.BooleanOptionalAction, help="whether everybody may call the function"
    )
    parser.add_argument("--functiongraph-endpoint", metavar="URL", help="check this base URL of FunctionGraph's API")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    variables = from_options(options)
    if options.functiongraph_endpoint:
        _check_endpoint(options.functiongraph_endpoint)
        _check_length(options, variables)
    if options.allow_unauthenticated and "DDM_TOKEN_SOURCE" in variables:
        source, instances = (_label(options, name) for name in ("DDM_TOKEN_SOURCE", "DDM_ALLOWED_INSTANCES"))
        errors.print_message(
            f"warning: everybody on the internet can use the token of {source} for the instances in {instances}"
        )
    if options.cloud_run:
        sys.stdout.write("".join(f"{line}\n" for line in _cloud_run_lines(variables)))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``deploy.sh`` that set variables of the function."""
    for options in _OPTIONS.values():
        for option, text in options.items():
            parser.add_argument(option, help=text)
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="another variable of the function"
    )


def from_options(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables that the options set.

    Raises UsageError if an option is malformed, sets a variable that another option sets, or has a value that the
    function's settings refuse.
    """
    variables = _variables_of_own_options(options)
    labels = {name: _label(options, name) for name in variables}
    for assignment in options.env:
        name, value = _assignment(assignment)
        if name in labels:
            raise UsageError(f"invalid value: --env {name} ({labels[name]} also sets this variable)")
        variables[name] = value
        labels[name] = f"--env {name}"
    for name, value in variables.items():
        if not value.isprintable():
            raise UsageError(f"invalid value: {labels[name]} (it contains a character that is not printable)")
        if name not in {"DDM_TOKEN_SOURCE", "DDM_ALLOWED_INSTANCES"}:
            _check(labels[name], {name: value})
    _check(labels.get("DDM_ALLOWED_INSTANCES") or labels.get("DDM_TOKEN_SOURCE") or "", variables)
    return variables


def to_user_data(variables: Mapping[str, Any]) -> str:
    """Return the variables as JSON for FunctionGraph's API. Raises DeployError if the JSON is too long."""
    user_data = json.dumps(variables, ensure_ascii=False)
    if len(user_data) > _MAX_USER_DATA_LENGTH:
        raise DeployError(
            f"the function's variables have {len(user_data):,} characters together,"
            f" and FunctionGraph's maximum is {_MAX_USER_DATA_LENGTH:,}"
        )
    return user_data


def timeout_seconds(variables: Mapping[str, str]) -> int:
    """Return the platform's timeout for a function with these variables: at least the maximum time of a request.

    Raises SettingsError if the function's settings refuse a variable.
    """
    values = settings.from_environment(variables)
    return max(_MIN_TIMEOUT_SECONDS, math.ceil(values.max_wait_seconds + values.timeout_seconds + _OTHER_SECONDS))


def _check_length(options: argparse.Namespace, variables: Mapping[str, str]) -> None:
    """Raise UsageError if the variables are too long for FunctionGraph. The message names the options."""
    try:
        to_user_data(variables)
    except DeployError as error:
        labels = ", ".join(_label(options, name) for name in variables)
        raise UsageError(f"invalid value: {labels} ({error})") from None


def _cloud_run_lines(variables: Mapping[str, str]) -> tuple[str, str, str]:
    if variables.get("DDM_TOKEN_SOURCE") == settings.AGENCY:
        raise UsageError("invalid value: --env DDM_TOKEN_SOURCE (an agency exists on FunctionGraph only)")
    timeout = _cloud_run_timeout(variables)
    return str(timeout), variables.get("DDM_REGION", ""), _update_env_vars(variables)


def _cloud_run_timeout(variables: Mapping[str, str]) -> int:
    """Return the timeout for Cloud Run. Raises UsageError if it is over Cloud Run's maximum."""
    seconds = timeout_seconds(variables)
    if seconds > _MAX_CLOUD_RUN_TIMEOUT_SECONDS:
        names = [name for name in ("DDM_MAX_WAIT_SECONDS", "DDM_TIMEOUT_SECONDS") if name in variables]
        raise UsageError(
            f"invalid value: --env {' and '.join(names)} (a request may take {seconds} s,"
            f" and Cloud Run's maximum timeout is {_MAX_CLOUD_RUN_TIMEOUT_SECONDS} s)"
        )
    return seconds


def _update_env_vars(variables: Mapping[str, str]) -> str:
    """Return the value of ``--update-env-vars``.

    gcloud splits the value at commas, or at another delimiter if the value declares it: ``^@^A=1,2@B=3``.
    """
    assignments = [f"{name}={value}" for name, value in {"THREADS": _CLOUD_RUN_THREADS, **variables}.items()]
    for delimiter in _DELIMITERS:
        if not any(delimiter in assignment for assignment in assignments):
            prefix = "" if delimiter == "," else f"^{delimiter}^"
            return prefix + delimiter.join(assignments)
    raise UsageError(f"invalid value: --env (each of the characters {_DELIMITERS} occurs in a value)")


def _variables_of_own_options(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables that their own options set, not ``--env``."""
    token_source = TOKEN_FILE if options.token_secret else settings.AGENCY if options.agency else None
    values = {
        "DDM_REGION": options.ddm_region,
        "DDM_ENDPOINT": options.ddm_endpoint,
        "DDM_TOKEN_SOURCE": token_source,
        "DDM_ALLOWED_INSTANCES": options.allow,
    }
    return {name: value for name, value in values.items() if value}


def _label(options: argparse.Namespace, name: str) -> str:
    """Return the option that sets the variable: its own option if that is given, else ``--env``."""
    given = (option for option in _OPTIONS.get(name, ()) if getattr(options, option[2:].replace("-", "_")))
    return next(given, f"--env {name}")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if name == "THREADS":
        raise UsageError("invalid value: --env THREADS (deploy.sh sets this variable, to the requests per instance)")
    if name not in NAMES:
        # A text that is not a valid name may be a secret, so it is not printed.
        pattern = r"[A-Za-z_][A-Za-z0-9_]{0,40}" if equals else r"[A-Z_][A-Z0-9_]{0,40}"
        label = f" {name}" if re.fullmatch(pattern, name) else ""
        raise UsageError(
            f"invalid value: --env{label} (expected NAME=VALUE; --env sets only the function's own variables,"
            f" {', '.join(NAMES)}: set any other variable on the platform, deployments keep it)"
        )
    if not equals:
        raise UsageError(f"invalid value: --env {name} (expected {name}=VALUE)")
    return name, value


def _check(label: str, variables: Mapping[str, str]) -> None:
    """Raise UsageError if the function would not start with these variables. The label names the option."""
    try:
        settings.from_environment(variables)
    except settings.SettingsError as error:
        raise UsageError(f"invalid value: {label} ({error})") from None


def _check_endpoint(value: str) -> None:
    """Raise UsageError if the function would refuse the value as its own endpoint."""
    try:
        settings.parse_endpoint("FUNCTIONGRAPH_ENDPOINT", value)
    except settings.SettingsError as error:
        raise UsageError(f"invalid value: {error}") from None


if __name__ == "__main__":
    errors.run(main)
