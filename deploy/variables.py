"""The function's environment variables: parsed from the options, and checked by the function's own settings."""

import argparse
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from ddm_precheck import settings
from deploy.output import DeployError, UsageError

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

TIMES: Final = ("DDM_MAX_WAIT_SECONDS", "DDM_TIMEOUT_SECONDS")
"""The variables that decide how long a request may take."""

TOKEN_FILE: Final = "/secrets/ddm-token/token"  # noqa: S105 - a path
"""The path at which Cloud Run mounts the secret of ``--token-secret``."""

_MAX_USER_DATA_LENGTH: Final = 4096
_MIN_TIMEOUT_SECONDS: Final = 60
# In addition to the wait and the last request to DDM: 5 seconds for the sink, and 5 seconds for everything else.
_OTHER_SECONDS: Final = 10


class Variables(dict[str, str]):
    """The variables that the options set. ``labels`` has the option that sets each variable, for messages."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: dict[str, str] = {}

    def add(self, name: str, value: str, label: str) -> None:
        """Add a variable. Raises UsageError if it is set already or not printable."""
        if name in self:
            raise UsageError(f"invalid value: {label} ({self.labels[name]} also sets this variable)")
        if not value.isprintable():
            raise UsageError(f"invalid value: {label} (it contains a character that is not printable)")
        self[name], self.labels[name] = value, label

    def check(self) -> None:
        """Raise UsageError if the function would not start with the variables."""
        try:
            settings.from_environment(self)
        except settings.SettingsError as error:
            label = next(label for name, label in self.labels.items() if str(error).startswith(name))
            raise UsageError(f"invalid value: {label} ({error})") from None


def from_options(options: argparse.Namespace) -> Variables:
    """Return the variables that the options set. Raises UsageError if an option is malformed or has a wrong value."""
    source = "--token-secret" if options.command == "cloud-run" else "--agency"
    token = options.token_secret if options.command == "cloud-run" else options.agency
    if bool(token) != bool(options.allow):
        missing, given = ("--allow", source) if token else (source, "--allow")
        raise UsageError(f"missing option: {missing} ({given} requires it)")
    own = {
        "--ddm-region": ("DDM_REGION", options.ddm_region),
        "--ddm-endpoint": ("DDM_ENDPOINT", options.ddm_endpoint),
        source: ("DDM_TOKEN_SOURCE", token and (TOKEN_FILE if source == "--token-secret" else settings.AGENCY)),
        "--allow": ("DDM_ALLOWED_INSTANCES", options.allow),
    }
    variables = Variables()
    for option, (name, value) in own.items():
        if value:
            variables.add(name, value, option)
    for assignment in options.env:
        name, value = _parse(assignment)
        variables.add(name, value, f"--env {name}")
    variables.check()
    return variables


def timeout_seconds(variables: Mapping[str, Any]) -> int:
    """Return the timeout that a function with these variables needs: at least the longest time of a request.

    Raises DeployError if the function would not start with them. The other variables do not count: those of an earlier
    deployment may come from secrets.
    """
    times = {name: str(variables[name]) for name in TIMES if name in variables}
    try:
        values = settings.from_environment(times)
    except settings.SettingsError as error:
        raise DeployError(f"the function would not start with its variables ({error}): set them with --env") from None
    return max(_MIN_TIMEOUT_SECONDS, math.ceil(values.max_wait_seconds + values.timeout_seconds + _OTHER_SECONDS))


def to_user_data(variables: Mapping[str, Any]) -> str:
    """Return the variables as JSON for FunctionGraph's API. Raises DeployError if the JSON is too long."""
    user_data = json.dumps(variables, ensure_ascii=False)
    if len(user_data) > _MAX_USER_DATA_LENGTH:
        raise DeployError(
            f"the function's variables have {len(user_data):,} characters together,"
            f" and FunctionGraph's maximum is {_MAX_USER_DATA_LENGTH:,}"
        )
    return user_data


def _parse(assignment: str) -> tuple[str, str]:
    name, equals, value = assignment.partition("=")
    if name not in NAMES:
        # Any other string may be a secret, so it is not printed.
        pattern = r"[A-Za-z_][A-Za-z0-9_]{0,40}" if equals else r"[A-Z_][A-Z0-9_]{0,40}"
        label = f" {name}" if re.fullmatch(pattern, name) else ""
        raise UsageError(
            f"invalid value: --env{label} (expected NAME=VALUE; --env sets only the function's own variables,"
            f" {', '.join(NAMES)}: set any other variable on the platform, deployments keep it)"
        )
    if not equals:
        raise UsageError(f"invalid value: --env {name} (expected {name}=VALUE)")
    return name, value


def sample_event(variables: Mapping[str, Any]) -> dict[str, str]:
    """Return an event of placeholders for a printed command. It has a region if the function has no default for it."""
    event = {"project_id": "PROJECT_ID", "instance_id": "INSTANCE_ID", "db_name": "orders", "job_id": "JOB_ID"}
    return event if variables.get("DDM_REGION") else event | {"region": "DDM_REGION"}
