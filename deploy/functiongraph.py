"""Creates or updates the HTTP function or the event function on FunctionGraph, and keeps what an operator has set."""

import argparse
import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ddm_precheck import settings
from deploy import output, package, variables
from deploy.functiongraph_api import ApiError, Body, Client, DryRun
from deploy.output import DeployError, UsageError

_DEFAULT_ENDPOINT: Final = "https://functiongraph.{region}.myhuaweicloud.com"
# With 512 MB, FunctionGraph provides 0.4 CPU cores. With less memory, a cold start takes too long.
_FIRST_MEMORY_MEGABYTES: Final = 512
# The number of threads in deploy/bootstrap: each request of the HTTP function needs a thread.
_CONCURRENT_REQUESTS: Final = 64
_FIRST_ASYNC_CONFIG: Final = {"max_async_retry_attempts": 3, "max_async_event_age_in_seconds": 86_400}
# What an operator can set and an update accepts: FunctionGraph does not document whether an update keeps what it does
# not contain, so the values are sent back.
_KEPT: Final = (
    *("description", "xrole", "app_xrole", "func_vpc", "mount_config", "network_controller", "strategy_config"),
    *("initializer_handler", "initializer_timeout", "enable_dynamic_memory", "enable_lts_log", "lts_custom_tag"),
)
_RUNTIME_NOT_OFFERED: Final = "FSS.1005"


@dataclass(frozen=True)
class Kind:
    """A kind of function: what it is called, and its runtime, which cannot be changed."""

    title: str
    runtime: str
    handler: str


HTTP: Final = Kind("HTTP function", "http", "bootstrap")
EVENT: Final = Kind("event function", "Python3.12", "event_function.handler")


@dataclass(frozen=True)
class Function:
    """The function to deploy. ``asynchronous`` has what the options set of the asynchronous configuration."""

    kind: Kind
    project_id: str
    region: str
    name: str
    agency: str | None
    variables: Mapping[str, str]
    asynchronous: Body
    code: bytes = field(repr=False)

    @property
    def urn(self) -> str:
        """The function's name in the API."""
        return f"urn:fss:{self.region}:{self.project_id}:function:default:{self.name}"

    @property
    def path(self) -> str:
        """The path of the function in the API."""
        return f"/v2/{self.project_id}/fgs/functions/{self.urn}"


def run(options: argparse.Namespace) -> int:
    """Build the package and deploy it, or with ``--dry-run`` print the requests, or with ``--package-only`` stop."""
    kind, own, endpoint = EVENT if options.event else HTTP, _variables(options), _endpoint(options)
    _check(options)
    code = package.run()
    if options.package_only:
        return 0
    function = Function(
        kind,
        options.project_id,
        options.region,
        options.name or ("ddm-precheck-event" if options.event else "ddm-precheck"),
        options.agency,
        own,
        _asynchronous(options),
        code,
    )
    if options.dry_run:
        output.line("If the function does not exist:")
        config = deploy(DryRun(endpoint, None), function)
        output.line("If the function exists (its limits, other variables and settings are kept):")
        deploy(DryRun(endpoint, {"runtime": kind.runtime}), function)
    else:
        config = deploy(Client(endpoint, options.huaweicloud_token), function)
        _warn_without_agency(config)
        output.line(f"deployed: {function.urn}")
    _print_call(endpoint, function, json.loads(config["user_data"]))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise UsageError unless the options fit together and the token can be sent in a header."""
    for name in ("retries", "on_success", "on_failure"):
        if getattr(options, name) and not options.event:
            raise UsageError(f"missing option: --event (--{name.replace('_', '-')} requires it)")
    if not options.package_only:
        output.require(options, "project-id", "region")
    if not options.package_only and not options.dry_run:
        if not options.huaweicloud_token:
            raise UsageError("missing value: HUAWEICLOUD_TOKEN, the IAM token, is not set")
        if not re.fullmatch(r"[!-~]+", options.huaweicloud_token):
            raise UsageError("invalid value: HUAWEICLOUD_TOKEN (printable ASCII without spaces)")


def _variables(options: argparse.Namespace) -> variables.Variables:
    own = variables.from_options(options)
    try:
        variables.to_user_data(own)
    except DeployError as error:
        raise UsageError(f"invalid value: {', '.join(own.labels.values())} ({error})") from None
    return own


def _endpoint(options: argparse.Namespace) -> str:
    value = os.environ.get("FUNCTIONGRAPH_ENDPOINT") or _DEFAULT_ENDPOINT
    try:
        endpoint = settings.parse_endpoint("FUNCTIONGRAPH_ENDPOINT", value)
    except settings.SettingsError as error:
        raise UsageError(f"invalid value: {error}") from None
    return endpoint.replace("{region}", options.region or "")


def _asynchronous(options: argparse.Namespace) -> Body:
    destinations = {
        outcome: {"destination": "SMN", "param": json.dumps({"topic_urn": urn})}
        if urn.startswith("urn:smn:")
        else {"destination": "FunctionGraph", "param": json.dumps({"func_urn": urn})}
        for outcome in ("on_success", "on_failure")
        if (urn := getattr(options, outcome))
    }
    retries = {"max_async_retry_attempts": int(options.retries)} if options.retries else {}
    return retries | ({"destination_config": destinations} if destinations else {})


def deploy(api: Client, function: Function) -> Body:
    """Create the function, or update it if it exists. Return its config.

    Raises DeployError if the API rejects a request or does not respond, or if the existing function has another runtime
    or a config that cannot be kept.
    """
    current = api.find(f"{function.path}/config")
    if current is None:
        return _create(api, function)
    if current.get("runtime") != function.kind.runtime:
        raise DeployError(
            f"{function.urn} is not an {function.kind.title} with the runtime {function.kind.runtime}, and a runtime"
            " cannot be changed: choose another --name"
        )
    # Built before the first PUT: if the config cannot be kept, the update fails before it changes anything.
    try:
        config = _config(function, current)
    except (TypeError, ValueError, AttributeError):
        raise DeployError("the function's configuration or user_data cannot be read, so it cannot be kept") from None
    api.send("PUT", f"{function.path}/code", _code(function))
    api.send("PUT", f"{function.path}/config", config)
    if function.asynchronous:
        _update_asynchronous(api, function)
    return config


def _create(api: Client, function: Function) -> Body:
    config = _config(function, {})
    # The request to create a function accepts no such flag and no concurrency, and v1 is the default in some regions.
    accepted = {name: value for name, value in config.items() if name != "enable_auth_in_header"}
    body = {**accepted, **_code(function), "package": "default", "type": "v2"}
    try:
        created = api.send("POST", function.path.rpartition("/")[0], body)
    except ApiError as error:
        if error.code != _RUNTIME_NOT_OFFERED:
            raise
        raise DeployError(
            f"FunctionGraph does not offer the runtime {function.kind.runtime} in {function.region}"
            f" ({_RUNTIME_NOT_OFFERED}): choose another --region, and set --ddm-region to the region of DDM"
        ) from None
    try:
        if function.kind is EVENT:
            api.send("PUT", f"{function.path}/async-invoke-config", {**_FIRST_ASYNC_CONFIG, **function.asynchronous})
        else:
            strategy = {**(created.get("strategy_config") or {}), "concurrent_num": _CONCURRENT_REQUESTS}
            api.send("PUT", f"{function.path}/config", {**config, "strategy_config": strategy})
    except DeployError as error:
        raise DeployError(f"{error}; the function is incomplete: delete it, and deploy again") from None
    return config


def _update_asynchronous(api: Client, function: Function) -> None:
    path = f"{function.path}/async-invoke-config"
    current: Body = api.find(path) or _FIRST_ASYNC_CONFIG
    known = (*_FIRST_ASYNC_CONFIG, "enable_async_status_log")
    kept = {name: current[name] for name in known if current.get(name) is not None}
    destinations = {name: value for name, value in (current.get("destination_config") or {}).items() if value}
    destinations |= function.asynchronous.get("destination_config", {})
    api.send("PUT", path, {**kept, **function.asynchronous, "destination_config": destinations})


def _code(function: Function) -> dict[str, Any]:
    return {
        "code_type": "zip",
        "code_filename": package.TARGET.name,
        "func_code": {"file": base64.b64encode(function.code).decode()},
    }


def _config(function: Function, current: Body) -> dict[str, Any]:
    """Return the config to send: what the options set, and what the function has otherwise."""
    function_variables = {**json.loads(current.get("user_data") or "{}"), **function.variables}
    config: dict[str, Any] = {
        "func_name": function.name,
        "runtime": function.kind.runtime,
        "handler": function.kind.handler,
        "memory_size": current.get("memory_size") or _FIRST_MEMORY_MEGABYTES,
        "timeout": max(variables.timeout_seconds(function_variables), current.get("timeout", 0)),
        "user_data": variables.to_user_data(function_variables),
        **_kept(function, current),
    }
    if function.agency:
        # app_xrole is the agency whose token the function gets. xrole is for FunctionGraph itself: VPC, destinations.
        config |= {"xrole": config.get("xrole", function.agency), "app_xrole": function.agency}
    if function.kind is HTTP and (function.agency or current.get("enable_auth_in_header")):
        config["enable_auth_in_header"] = True
    return config


def _kept(function: Function, current: Body) -> dict[str, Any]:
    kept = {name: current[name] for name in _KEPT if current.get(name) not in (None, "", {})}
    for name, part in (("func_vpc", "vpc_id"), ("mount_config", "func_mounts")):
        if name in kept and not kept[name].get(part):  # nothing is set, and the API would reject it
            del kept[name]
    if function.kind is EVENT and "strategy_config" in kept:  # one request at a time: concurrent_num is not accepted
        kept["strategy_config"] = {**kept["strategy_config"]}
        kept["strategy_config"].pop("concurrent_num", None)
    return kept


def _warn_without_agency(config: Body) -> None:
    uses_agency = json.loads(config["user_data"]).get("DDM_TOKEN_SOURCE") == settings.AGENCY
    if uses_agency and not {"xrole", "app_xrole"} & config.keys():
        output.message(
            "warning: DDM_TOKEN_SOURCE is agency, but the function has no agency, so it gets no token:"
            " deploy with --agency and --allow instead of --env"
        )


def _print_call(endpoint: str, function: Function, function_variables: Mapping[str, Any]) -> None:
    """Print a command that calls the function through the invocations API."""
    event = variables.sample_event(function_variables)
    # printf is part of the shell: no argument of a process has the token.
    if "DDM_TOKEN_SOURCE" in function_variables:
        text, token = json.dumps(event), ""
    else:
        text, token = json.dumps({**event, "token": "%s"}), ' "$HUAWEICLOUD_TOKEN"'
    answer = ""
    if function.kind is HTTP:  # called as API Gateway does
        request = {"httpMethod": "POST", "path": "/", "headers": {}, "isBase64Encoded": False, "body": text}
        text, answer = json.dumps(request).replace("\\", "\\\\"), " | jq -r '.body | @base64d'"
    output.line(
        "\nCall the function with an IAM token in HUAWEICLOUD_TOKEN (bash); no trigger is needed:\n"
        f"  printf '{text}'{token} |\n"
        f"    curl -sS '{endpoint}{function.path}/invocations' \\\n"
        "      -H @<(printf 'X-Auth-Token: %s' \"$HUAWEICLOUD_TOKEN\") \\\n"
        f"      -H 'Content-Type: application/json' -H 'X-CFF-Request-Version: v0' -d @-{answer}"
    )
