"""Creates or updates the function through version 2 of FunctionGraph's API.

The IAM token comes from the variable HUAWEICLOUD_TOKEN. The token is redacted in all output.
"""

import argparse
import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from ddm_precheck import settings
from deploy import errors, package, variables
from deploy.errors import DeployError
from deploy.functiongraph_api import Api, ApiResponse, DryRunApi, FunctionGraphApi

_REQUIRED_OPTIONS: Final = {
    "--endpoint": "the base URL of FunctionGraph's API, may contain {region}",
    "--project-id": "the Huawei Cloud project",
    "--region": "the region of Huawei Cloud",
    "--name": "the name of the function",
}
_NOT_FOUND: Final = "FSS.1051"
_RUNTIME: Final = "http"
# With 512 MB, FunctionGraph provides 0.4 CPU cores. With less memory, a cold start takes too long.
_MIN_MEMORY_MEGABYTES: Final = 512
# The number of threads in deploy/bootstrap: each request needs a thread.
_MIN_CONCURRENT_REQUESTS: Final = 64
_UNLIMITED: Final = -1
# Fields of the config that the request to create a function does not accept.
_UPDATE_ONLY: Final = ("strategy_config", "enable_auth_in_header")
_MAX_LINE_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Function:
    """The function to deploy. If ``agency`` is None, an existing function keeps its agency."""

    project_id: str
    region: str
    name: str
    agency: str | None
    variables: Mapping[str, str]
    code: bytes = field(repr=False)

    @property
    def urn(self) -> str:
        """The function's name in the API."""
        return f"urn:fss:{self.region}:{self.project_id}:function:default:{self.name}"


def main(arguments: Sequence[str]) -> int:
    """Deploy the package, or with ``--dry-run`` print the requests. ``deploy.sh`` has checked the options."""
    options = _parse_options(arguments)
    function = Function(
        project_id=options.project_id,
        region=options.region,
        name=options.name,
        agency=options.agency,
        variables=variables.from_options(options),
        code=package.TARGET.read_bytes(),
    )
    endpoint = options.endpoint.replace("{region}", options.region).rstrip("/")
    token = os.environ.get("HUAWEICLOUD_TOKEN", "")
    try:
        if options.dry_run:
            _print_requests(endpoint, function)
        else:
            _warn_without_agency(deploy(FunctionGraphApi(endpoint, token), function))
            sys.stdout.write(f"deployed: {function.urn}\n")
    except DeployError as error:  # the message may contain texts of the API
        raise DeployError(_redact(str(error), token)) from None
    return 0


def _parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="deploy.functiongraph", description="Create or update the function.", allow_abbrev=False
    )
    for name, text in _REQUIRED_OPTIONS.items():
        parser.add_argument(name, required=True, help=text)
    parser.add_argument("--dry-run", action="store_true", help="print the requests and send none")
    variables.add_arguments(parser)
    return parser.parse_args(arguments)


def _print_requests(endpoint: str, function: Function) -> None:
    """Print the requests for both cases, because a dry run does not send a request to find out which case applies."""
    cases = {
        "If the function does not exist:": ApiResponse(HTTPStatus.NOT_FOUND, {"error_code": _NOT_FOUND}),
        "If the function exists (its other variables and larger limits are kept):": ApiResponse(
            HTTPStatus.OK, {"runtime": _RUNTIME}
        ),
    }
    for title, config in cases.items():
        sys.stdout.write(f"{title}\n")
        deploy(DryRunApi(endpoint, config, f"<base64 of {package.TARGET.name}>"), function)


def deploy(api: Api, function: Function) -> dict[str, Any]:
    """Create the function, or update it if it exists. Return its config.

    Raises DeployError if the API refuses a request or does not respond, or if the existing function is not an HTTP
    function or its config cannot be kept.
    """
    functions = f"/v2/{function.project_id}/fgs/functions"
    config = api.send("GET", f"{functions}/{function.urn}/config")
    if config.status == HTTPStatus.NOT_FOUND and config.error_code in {None, _NOT_FOUND}:
        created = _call_or_raise(api, "POST", functions, _create_body(function))
        # The POST accepts no strategy_config. The response has the default, which the update must keep.
        update = _config_body(function, {"strategy_config": created.body.get("strategy_config")})
    else:
        config.raise_for_status("GET the function's config")
        if not config.body:
            raise DeployError("the function's config cannot be read, so its current values cannot be kept")
        # Built before the first PUT: if the config cannot be kept, the update fails before it changes anything.
        update = _config_body(function, config.body)
        _call_or_raise(api, "PUT", f"{functions}/{function.urn}/code", _code_body(function))
    _call_or_raise(api, "PUT", f"{functions}/{function.urn}/config", update)
    return update


def _create_body(function: Function) -> dict[str, Any]:
    config = {name: value for name, value in _config_body(function, {}).items() if name not in _UPDATE_ONLY}
    # HTTP functions exist in FunctionGraph v2 only, and v1 is the default in some regions.
    return {**config, **_code_body(function), "package": "default", "type": "v2"}


def _code_body(function: Function) -> dict[str, Any]:
    return {
        "code_type": "zip",
        "code_filename": package.TARGET.name,
        "func_code": {"file": base64.b64encode(function.code).decode()},
    }


def _config_body(function: Function, current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config to send: the options, and the known fields of `current` that no option sets.

    For fields that the request does not contain, such as ``mount_config``, the API's documentation does not say whether
    an update keeps them. The program assumes that it does.
    """
    if current.get("runtime", _RUNTIME) != _RUNTIME:
        raise DeployError(f"{function.urn} is not an HTTP function: choose another --name")
    function_variables = {**_current_variables(current), **function.variables}
    return {
        "func_name": function.name,
        "runtime": _RUNTIME,
        "handler": "bootstrap",
        "memory_size": max(_MIN_MEMORY_MEGABYTES, _limit(current, "memory_size")),
        "timeout": max(_timeout_seconds(function_variables), _limit(current, "timeout")),
        "user_data": variables.to_user_data(function_variables),
        "strategy_config": _strategy_config(current),
        **_agency(function, current),
    }


def _timeout_seconds(function_variables: Mapping[str, Any]) -> int:
    known = {name: str(value) for name, value in function_variables.items() if name in variables.NAMES}
    try:
        return variables.timeout_seconds(known)
    except settings.SettingsError as error:
        raise DeployError(f"the function would not start with its variables ({error}): set them with --env") from None


def _strategy_config(current: Mapping[str, Any]) -> dict[str, Any]:
    strategy = current.get("strategy_config")
    if strategy is None:
        strategy = {}
    if not isinstance(strategy, dict):
        raise DeployError("the function's strategy_config cannot be read, so it cannot be kept")
    concurrent = _limit(strategy, "concurrent_num")
    if concurrent != _UNLIMITED:
        concurrent = max(_MIN_CONCURRENT_REQUESTS, concurrent)
    return {**strategy, "concurrent_num": concurrent}


def _agency(function: Function, current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the agency, and the flag that makes FunctionGraph add the agency's token to each request."""
    if function.agency:
        return {"xrole": function.agency, "enable_auth_in_header": True}
    return {name: current[name] for name in ("xrole", "enable_auth_in_header") if current.get(name)}


def _warn_without_agency(config: Mapping[str, Any]) -> None:
    if json.loads(config["user_data"]).get("DDM_TOKEN_SOURCE") == settings.AGENCY and "xrole" not in config:
        errors.print_message(
            "warning: DDM_TOKEN_SOURCE is agency, but the function has no agency, so it gets no token:"
            " deploy with --agency and --allow instead of --env"
        )


def _limit(values: Mapping[str, Any], name: str) -> int:
    limit = 0 if values.get(name) is None else values[name]
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise DeployError(f"the function's {name} cannot be read, so it cannot be kept")
    return limit


def _current_variables(current: Mapping[str, Any]) -> dict[str, Any]:
    user_data = current.get("user_data")
    if user_data is None or user_data == "":
        return {}
    try:
        values = json.loads(user_data)
    except (TypeError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise DeployError("the function's variables (user_data) cannot be read, so they cannot be kept")
    return values


def _call_or_raise(api: Api, method: str, path: str, body: Mapping[str, Any]) -> ApiResponse:
    response = api.send(method, path, body)
    response.raise_for_status(f"{method} {path}")
    return response


def _redact(text: str, token: str) -> str:
    """Return the text on one line of limited length, with the token redacted."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return (line.replace(token, "***") if token else line)[:_MAX_LINE_LENGTH]


if __name__ == "__main__":
    errors.run(main)
