"""Runs the function on this machine and sends it sample events.

Unless DDM_ENDPOINT is set, the function uses the fake DDM, whose response the name of the database schema selects.
The function's log goes to standard error.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
from types import SimpleNamespace
from typing import Any, Final

from deploy import output, samples, variables, venv
from deploy.output import DeployError, UsageError
from deploy.samples import Sample
from deploy.source import ROOT
from testing.fake_behaviours import BEHAVIOURS
from testing.fake_ddm import FakeDDM
from testing.function_server import ServerError
from testing.function_server import serve as serve_function

_REAL_DDM: Final = """\
DDM_ENDPOINT is set: the function sends its requests to the real DDM, not to the fake one.
The only sample is an event that is not valid, for which the function sends no request to DDM.
"""
_CALL_REAL_DDM: Final = """
Serving until Ctrl-C. Call the function with an IAM token of Huawei Cloud in HUAWEICLOUD_TOKEN:

  printf 'X-Auth-Token: %s' "$HUAWEICLOUD_TOKEN" | curl -sS {url} -H @- -H 'Content-Type: application/json' -d '{event}'
"""
_CALL_FAKE_DDM: Final = """
Serving until Ctrl-C. Send the event of the README; the verdict is FAIL:

  curl -sS {url} -H 'Content-Type: application/json' -d '{event}'

db_name selects the response of the fake DDM: {names}.
"""


def run(options: argparse.Namespace) -> int:
    """Install the requirements, and continue in ``serve`` with the Python that has them."""
    port = os.environ.get("PORT") or "8080"
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError("invalid value: PORT (a port from 1 to 65535)")
    venv.install(dry_run=options.dry_run)
    flags = [f"--{name}" for name in ("once", "verbose") if getattr(options, name)]
    command = [venv.PYTHON, "-m", "deploy.local", *flags]
    if options.dry_run:
        output.command(["exec", *command])
        return 0
    os.chdir(ROOT)
    return os.execv(venv.PYTHON, command)  # noqa: S606 - fixed arguments


def serve(options: argparse.Namespace) -> int:
    """Start the function, send the samples, and serve until a signal arrives. Return the exit status."""
    port = int(os.environ.get("PORT") or "8080")
    uses_fake_ddm = not os.environ.get("DDM_ENDPOINT")
    _require_free_port(port)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with contextlib.ExitStack() as stack:
            if uses_fake_ddm:
                ddm = stack.enter_context(FakeDDM())
                threading.Thread(target=ddm.serve_forever, daemon=True).start()
                stack.callback(ddm.shutdown)
                os.environ |= {"DDM_ENDPOINT": ddm.url, "DDM_REGION": os.environ.get("DDM_REGION") or "cn-north-4"}
            else:
                output.line(_REAL_DDM)
            server = stack.enter_context(serve_function(os.environ | {"PORT": str(port)}, None))
            all_expected = _send_samples(port, uses_fake_ddm=uses_fake_ddm, verbose=options.verbose)
            if options.once:
                return 0 if all_expected else 1
            with contextlib.suppress(KeyboardInterrupt):
                _print_call(f"http://127.0.0.1:{port}", uses_fake_ddm=uses_fake_ddm)
                raise DeployError(f"the function has ended with exit status {server.process.wait()}")
    except ServerError:
        raise DeployError("the function did not start: its log says why") from None
    output.line("\nStopped.")
    return 0 if all_expected else 1


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        # The server sets this option too: connections of an earlier run that are still closing do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DeployError(f"port {port} cannot be used ({error.strerror}): set PORT to another port") from None


def _send_samples(port: int, *, uses_fake_ddm: bool, verbose: bool) -> bool:
    """Send the samples and return whether all results are as expected. If `verbose`, print all samples completely."""
    to_http = samples.OF_VERDICTS if uses_fake_ddm else (samples.INVALID,)
    unexpected = 0
    for number, sample in enumerate((*to_http, to_http[0])):
        is_http = number < len(to_http)
        status, body = _post(sample, port) if is_http else (None, _call_handler(sample))
        if number == 0 or verbose:
            called = f"POST http://127.0.0.1:{port}" if is_http else "event_function.handler"
            output.line(f"> {called}\n{_indented(sample.event)}\n< {status or ''}\n{_indented(body)}\n")
        else:
            name = f"{sample.name}: {status} " if is_http else f"event_function.handler, {sample.name}: "
            can_proceed = json.dumps(body["can_proceed"])
            output.line(f"{name}{body['verdict']}, can_proceed {can_proceed}: {body['message']}")
        if body["verdict"] != sample.verdict or status not in {None, sample.status}:
            unexpected += 1
            output.line(f"! {sample.name}: expected {sample.status} {sample.verdict}")
    total = len(to_http) + 1
    output.line(f"\n{total - unexpected} of {total} responses as expected.")
    return not unexpected


def _post(sample: Sample, port: int) -> tuple[int, dict[str, Any]]:
    """Send the event to the HTTP function, and return the status and the body of the response."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/", json.dumps(sample.event), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.load(response)


def _call_handler(sample: Sample) -> dict[str, Any]:
    """Call the event function in this process, with a context that has no agency."""
    import event_function  # noqa: PLC0415 - it needs the requirements, which `run` installs

    with contextlib.redirect_stdout(sys.stderr):  # the function's log
        result: dict[str, Any] = event_function.handler(sample.event, SimpleNamespace(getToken=str))
    return result


def _indented(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _print_call(url: str, *, uses_fake_ddm: bool) -> None:
    if uses_fake_ddm:
        names = ", ".join(name for name in BEHAVIOURS if name != "orders")
        output.line(_CALL_FAKE_DDM.format(url=url, event=json.dumps(samples.README_EVENT), names=names))
    else:
        output.line(_CALL_REAL_DDM.format(url=url, event=json.dumps(variables.sample_event(os.environ))))


if __name__ == "__main__":
    from deploy import cli

    sys.exit(cli.guard(lambda: serve(cli.parse(["local", *sys.argv[1:]]))))
