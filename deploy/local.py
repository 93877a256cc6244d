"""Runs the function on this machine and sends it sample events.

Unless DDM_ENDPOINT is set, the function uses the fake DDM, whose response the name of the database schema selects.
The function's log goes to standard error.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from deploy import output, samples, venv
from deploy.output import DeployError, UsageError
from deploy.samples import Result
from deploy.source import ROOT
from testing.fake_behaviours import BEHAVIOURS
from testing.fake_ddm import FakeDDM

_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 5
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
    url = f"http://127.0.0.1:{port}"
    uses_fake_ddm = not os.environ.get("DDM_ENDPOINT")
    _require_free_port(port)
    # A handler that raises would leave a process behind if the signal arrived while the process is started.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: signals.append(number))
    with contextlib.ExitStack() as stack:
        if uses_fake_ddm:
            os.environ.update(stack.enter_context(_fake_ddm()))
        else:
            _print(_REAL_DDM)
        check = stack.enter_context(_function(port, signals))
        all_expected = _send_samples(url, check, uses_fake_ddm=uses_fake_ddm, verbose=options.verbose)
        if not options.once:
            _print_call(url, uses_fake_ddm=uses_fake_ddm)
            with contextlib.suppress(SystemExit):
                while True:
                    check()
                    time.sleep(0.2)
            _print("\nStopped.")
    return 0 if all_expected else 1


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        # The server sets this option too: connections of an earlier run that are still closing do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DeployError(f"port {port} cannot be used ({error.strerror}): set PORT to another port") from None


@contextlib.contextmanager
def _fake_ddm() -> Iterator[dict[str, str]]:
    """Serve the fake DDM in a thread, and yield the variables that make the function use it."""
    # A proxy cannot reach the loopback address of this machine.
    no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"]))
    region = os.environ.get("DDM_REGION") or "cn-north-4"
    with FakeDDM() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"DDM_ENDPOINT": server.url, "DDM_REGION": region, "NO_PROXY": no_proxy, "no_proxy": no_proxy}
        server.shutdown()


@contextlib.contextmanager
def _function(port: int, signals: Sequence[int]) -> Iterator[Callable[[], None]]:
    """Serve the HTTP function, and yield a check that it still runs and that no signal has arrived."""
    arguments = ["-m", "functions_framework", "--target", "precheck", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603 - fixed arguments
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        start_new_session=True,  # its own process group, so that its worker ends with it
    )

    def check() -> None:
        if signals:
            raise SystemExit(128 + signals[0])
        if process.poll() is not None:
            raise DeployError(f"the function has ended with exit status {process.returncode}")

    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline:
                raise DeployError(f"the function did not listen on port {port} within {_START_SECONDS} s")
            time.sleep(0.05)
        yield check
    finally:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # the group has ended
        os.killpg(group, number)


def _send_samples(url: str, check: Callable[[], None], *, uses_fake_ddm: bool, verbose: bool) -> bool:
    """Send the samples and return whether all results are as expected. If `verbose`, print all samples completely."""
    to_http, to_handler = (
        (samples.OF_VERDICTS, samples.PASS) if uses_fake_ddm else ((samples.INVALID,), samples.INVALID)
    )
    unexpected = 0
    for number, sample in enumerate((*to_http, to_handler)):
        check()
        is_http = number < len(to_http)
        result = samples.post(sample, url) if is_http else _call_handler(sample.event)
        body, status = result.body, result.status or ""
        if number == 0 or verbose:
            text = json.dumps(body, indent=2, ensure_ascii=False) if body else result.text
            called = f"POST {url}" if is_http else "event_function.handler"
            _print(f"> {called}\n{json.dumps(sample.event, indent=2)}\n< {status}\n{text}\n")
        else:
            name = f"{sample.name}: {status} " if is_http else f"event_function.handler, {sample.name}: "
            can_proceed = json.dumps(body.get("can_proceed"))
            _print(f"{name}{body.get('verdict')}, can_proceed {can_proceed}: {body.get('message')}")
        differences = sample.differences(result)
        unexpected += bool(differences)
        for difference in differences:
            _print(f"! {sample.name}: {difference}")
    total = len(to_http) + 1
    _print(f"\n{total - unexpected} of {total} responses as expected.")
    return not unexpected


def _call_handler(event: Mapping[str, Any]) -> Result:
    """Call the event function in this process, with a context that has no agency."""
    import event_function  # noqa: PLC0415 - it needs the requirements, which `run` installs

    with contextlib.redirect_stdout(sys.stderr):  # the function's log
        return Result(json.dumps(event_function.handler(event, SimpleNamespace(getToken=str))))


def _print_call(url: str, *, uses_fake_ddm: bool) -> None:
    if uses_fake_ddm:
        names = ", ".join(name for name in BEHAVIOURS if name != "orders")
        _print(_CALL_FAKE_DDM.format(url=url, event=json.dumps(samples.README_EVENT), names=names))
    else:
        event = {"project_id": "PROJECT_ID", "instance_id": "INSTANCE_ID", "db_name": "orders", "job_id": "JOB_ID"}
        region = {} if os.environ.get("DDM_REGION") else {"region": "DDM_REGION"}
        _print(_CALL_REAL_DDM.format(url=url, event=json.dumps(event | region)))


def _print(text: str) -> None:
    output.line(text.replace(samples.TOKEN, "***"))


if __name__ == "__main__":
    from deploy import cli

    sys.exit(cli.guard(lambda: serve(cli.parse(["local", *sys.argv[1:]]))))
