"""Deploys to Google Cloud Run functions with ``gcloud``, and keeps what an operator has set on the service."""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ddm_precheck import settings
from deploy import output, source, variables
from deploy.output import DeployError, UsageError
from deploy.variables import Variables

# The number of requests at the same time in one instance. Each needs a thread.
_CONCURRENCY: Final = "64"
_FIRST_LIMITS: Final = ("--concurrency", _CONCURRENCY, "--cpu", "1", "--memory", "512Mi")
_FIRST_INSTANCES: Final = ("--min-instances", "0", "--max-instances", "10")
_MAX_TIMEOUT_SECONDS: Final = 3600
_NOT_FOUND: Final = "Cannot find service"
_DELIMITERS: Final = ",@;|#~"


@dataclass(frozen=True)
class Service:
    """The deployed service: its timeout, and its variables without those that a secret sets."""

    timeout_seconds: int = 60
    variables: Mapping[str, str] = field(default_factory=dict)


def run(options: argparse.Namespace) -> int:
    """Deploy, or with ``--dry-run`` print the commands for both cases: a new service, and one that exists."""
    output.require(options, "project", "region")
    own = variables.from_options(options)
    if own.get("DDM_TOKEN_SOURCE") == settings.AGENCY:
        raise UsageError("invalid value: --env DDM_TOKEN_SOURCE (an agency exists on FunctionGraph only)")
    first = _deploy_command(options, own, None)
    source.files()
    if options.dry_run:
        _warn_of_a_public_token(options, own)
        output.command(_describe_command(options))
        output.line("If the service does not exist:")
        output.command(first)
        output.line(
            "If the service exists (limits and other variables are kept, a timeout that is too short is raised):"
        )
        output.command(_deploy_command(options, own, Service()))
        _print_call(options, "https://SERVICE_URL", own)
        return 0
    if not shutil.which("gcloud"):
        raise DeployError("gcloud is missing: install the Google Cloud CLI")
    service = _describe(options)
    merged = {**(service.variables if service else {}), **own}
    _warn_of_a_public_token(options, merged)
    done = subprocess.run(_deploy_command(options, own, service), stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - checked
    if done.returncode:
        raise DeployError("gcloud run deploy failed")
    _print_call(options, done.stdout.strip(), merged)
    return 0


def _warn_of_a_public_token(options: argparse.Namespace, merged: Mapping[str, str]) -> None:
    if "DDM_TOKEN_SOURCE" in merged and _is_public(options):
        output.message(
            "warning: anyone on the internet can use the function's token for the instances in DDM_ALLOWED_INSTANCES"
        )


def _describe_command(options: argparse.Namespace) -> list[str]:
    place = ["--project", options.project, "--region", options.region]
    return ["gcloud", "run", "services", "describe", options.service, *place, "--quiet", "--format", "json"]


def _describe(options: argparse.Namespace) -> Service | None:
    """Return the service, or None if it does not exist."""
    done = subprocess.run(_describe_command(options), capture_output=True, text=True, check=False)  # noqa: S603 - checked
    if done.returncode:
        if _NOT_FOUND in done.stderr:
            return None
        sys.stderr.write(done.stderr)
        raise DeployError("gcloud run services describe failed")
    try:
        spec = json.loads(done.stdout)["spec"]["template"]["spec"]
        entries = spec["containers"][0].get("env") or []
        return Service(
            timeout_seconds=int(spec.get("timeoutSeconds") or 300),  # Cloud Run's default
            variables={entry["name"]: entry["value"] for entry in entries if "value" in entry},
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        raise DeployError("gcloud described a service that cannot be read, so its values cannot be kept") from None


def _deploy_command(options: argparse.Namespace, own: Variables, service: Service | None) -> list[str]:
    """Return the command that deploys a new service, or a new version of the service."""
    needed = _timeout_seconds(own, {**(service.variables if service else {}), **own})
    access = "--allow-unauthenticated" if options.allow_unauthenticated else "--no-allow-unauthenticated"
    command = ["gcloud", "run", "deploy", options.service, "--project", options.project, "--region", options.region]
    command += ["--source", str(source.ROOT), "--function", "precheck", "--base-image", "python313", access]
    if service is None:
        command += [*_FIRST_LIMITS, "--timeout", f"{needed}s", *_FIRST_INSTANCES]
    elif service.timeout_seconds < needed:
        command += ["--timeout", f"{needed}s"]
    if changed := own if service else {"THREADS": _CONCURRENCY, **own}:
        command += ["--update-env-vars", _join(changed)]
    if options.token_secret:
        command += ["--update-secrets", f"{variables.TOKEN_FILE}={options.token_secret}:latest"]
    if options.service_account:
        command += ["--service-account", options.service_account]
    return [*command, "--quiet", "--format", "value(status.url)", *options.passed]


def _timeout_seconds(own: Variables, merged: Mapping[str, str]) -> int:
    seconds = variables.timeout_seconds(merged)
    if seconds > _MAX_TIMEOUT_SECONDS:
        labels = " and ".join(own.labels.get(name, name) for name in variables.TIMES if name in merged)
        raise UsageError(
            f"invalid value: {labels} (a request may take {seconds} s,"
            f" and Cloud Run's maximum timeout is {_MAX_TIMEOUT_SECONDS} s)"
        )
    return seconds


def _join(assigned: Mapping[str, str]) -> str:
    """Return the value of ``--update-env-vars``.

    gcloud splits the value at commas, or at another delimiter if the value declares it: ``^@^A=1,2@B=3``.
    """
    assignments = [f"{name}={value}" for name, value in assigned.items()]
    for delimiter in _DELIMITERS:
        if not any(delimiter in assignment for assignment in assignments):
            prefix = "" if delimiter == "," else f"^{delimiter}^"
            return prefix + delimiter.join(assignments)
    raise UsageError(f"invalid value: --env (each of the characters {_DELIMITERS} occurs in a value)")


def _is_public(options: argparse.Namespace) -> bool:
    return options.allow_unauthenticated or "--allow-unauthenticated" in options.passed


def _print_call(options: argparse.Namespace, url: str, merged: Mapping[str, Any]) -> None:
    """Print a command that calls the function."""
    identity = "" if _is_public(options) else ' -H "Authorization: Bearer $(gcloud auth print-identity-token)"'
    event = variables.sample_event(merged)
    if "DDM_TOKEN_SOURCE" in merged:
        who, token, header = "for an instance in DDM_ALLOWED_INSTANCES", "", ""
    else:
        who = "with an IAM token of Huawei Cloud in HUAWEICLOUD_TOKEN"
        # Every user of a machine can read the arguments of its processes, so the token goes through a pipe.
        token, header = "printf 'X-Auth-Token: %s' \"$HUAWEICLOUD_TOKEN\" | ", " -H @-"
    call = f"curl -sS -X POST '{url}'{header}{identity} -H 'Content-Type: application/json' -d '{json.dumps(event)}'"
    output.line(f"\nURL: {url}\n\nCall the function {who}:\n  {token}{call}")
