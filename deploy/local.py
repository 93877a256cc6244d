"""Runs the function on this machine and sends it sample events, for ``deploy.sh local``.

Unless DDM_ENDPOINT is set, the function uses the fake DDM, whose response the name of the database schema selects.
The function's log goes to standard error.
"""

import argparse
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any, Final, cast

from deploy import errors, sample_events
from deploy.errors import DeployError
from deploy.processes import Processes
from testing.fake_behaviours import BEHAVIOURS

_START_SECONDS: Final = 60
_LISTENING: Final = "listening on "
_REAL_DDM: Final = """\
DDM_ENDPOINT is set: the function sends its requests to the real DDM, not to the fake one.
The only sample is an event that is not valid, for which the function sends no request to DDM.
"""
_CALL_REAL_DDM: Final = """
Serving until Ctrl-C. Call the function with an IAM token of Huawei Cloud in HUAWEICLOUD_TOKEN:

  printf 'X-Auth-Token: %s' "$HUAWEICLOUD_TOKEN" | curl -sS {url} -H @- -H 'Content-Type: application/json' -d '{event}'
"""
_CALL_FAKE_DDM: Final = """
Serving until Ctrl-C. Call the function:

  curl -sS {url} -H 'Content-Type: application/json' -d '{event}'

db_name selects the response of the fake DDM: {names}.
"""


def main(arguments: Sequence[str]) -> int:
    """Start the processes, send the samples, and serve until a signal arrives. Return the exit status."""
    parser = argparse.ArgumentParser(prog="deploy.local", description="Run the function locally.", allow_abbrev=False)
    parser.add_argument("--once", action="store_true", help="stop after the samples")
    parser.add_argument("--verbose", action="store_true", help="print every request and response completely")
    options = parser.parse_args(arguments)
    port = int(os.environ.get("PORT") or "8080")
    url = f"http://127.0.0.1:{port}"
    uses_fake_ddm = not os.environ.get("DDM_ENDPOINT")
    _require_free_port(port)
    with Processes() as processes:
        _start_function(processes, port, _start_fake_ddm(processes) if uses_fake_ddm else {})
        all_expected = _send_samples(url, uses_fake_ddm=uses_fake_ddm, verbose=options.verbose)
        if not options.once:
            _serve(processes, url, uses_fake_ddm=uses_fake_ddm)
    return 0 if all_expected else 1


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        # The server sets this option too: connections of an earlier run that are still closing do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DeployError(f"port {port} cannot be used ({error.strerror}): set PORT to another port") from None


def _start_fake_ddm(processes: Processes) -> dict[str, str]:
    """Start the fake DDM and return the environment variables that make the function use it."""
    arguments = ("-m", "testing.fake_ddm", "--port", "0")
    child = processes.start("the fake DDM", arguments, os.environ, subprocess.PIPE)
    output = cast("IO[bytes]", child.stdout)  # a pipe, so not None
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        line = output.readline().decode() if selector.select(_START_SECONDS) else ""
    if not line.startswith(_LISTENING):
        raise DeployError("the fake DDM did not start")
    # Continue to read the pipe: a full pipe would block the fake DDM.
    threading.Thread(target=shutil.copyfileobj, args=(output, sys.stderr.buffer), daemon=True).start()
    # A proxy cannot reach the loopback address of this machine.
    no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"]))
    return {
        "DDM_ENDPOINT": line.removeprefix(_LISTENING).strip(),
        "DDM_REGION": os.environ.get("DDM_REGION") or "cn-north-4",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def _start_function(processes: Processes, port: int, variables: dict[str, str]) -> None:
    """Start the function and return when it listens."""
    arguments = ("-m", "functions_framework", "--target", "precheck", "--host", "127.0.0.1", "--port", str(port))
    processes.start("the function", arguments, {**os.environ, **variables}, sys.stderr.fileno())
    deadline = time.monotonic() + _START_SECONDS
    while not _is_listening(port):
        processes.check()
        if time.monotonic() > deadline:
            raise DeployError(f"the function did not listen on port {port} within {_START_SECONDS} s")
        time.sleep(0.1)


def _is_listening(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _send_samples(url: str, *, uses_fake_ddm: bool, verbose: bool) -> bool:
    """Send the samples and return whether all responses are as expected. If `verbose`, print all samples completely."""
    if not uses_fake_ddm:
        _print(_REAL_DDM)
    all_samples = sample_events.verdict_samples() if uses_fake_ddm else (sample_events.invalid_sample(),)
    unexpected = 0
    for number, sample in enumerate(all_samples):
        response = sample_events.send(sample, url)
        if number == 0 or verbose:
            _print_exchange(url, sample.event, response)
        else:
            _print_line(sample, response)
        differences = sample.differences(response)
        unexpected += bool(differences)
        for difference in differences:
            _print(f"! {sample.event['db_name']}: {difference}")
    _print(f"\n{len(all_samples) - unexpected} of {len(all_samples)} responses as expected.")
    return not unexpected


def _print_exchange(url: str, event: Any, response: sample_events.Response) -> None:
    body = json.dumps(response.body, indent=2, ensure_ascii=False) if response.body else response.text
    _print(f"> POST {url}\n{json.dumps(event, indent=2)}\n< {response.status}\n{body}\n")


def _print_line(sample: sample_events.Sample, response: sample_events.Response) -> None:
    body = response.body
    _print(
        f"db_name {sample.event['db_name']}: {response.status} {body.get('verdict')},"
        f" can_proceed {json.dumps(body.get('can_proceed'))}: {body.get('message')}"
    )


def _serve(processes: Processes, url: str, *, uses_fake_ddm: bool) -> None:
    """Print how to call the function, and return at the first signal. Raises DeployError if a process has ended."""
    if uses_fake_ddm:
        event = sample_events.event("pass", expected_checks=2)
        names = ", ".join(name for name in BEHAVIOURS if name != "pass")
        _print(_CALL_FAKE_DDM.format(url=url, event=json.dumps({**event, "token": "TOKEN"}), names=names))
    else:
        event = {name: name.upper() for name in ("project_id", "instance_id")} | {
            "db_name": "orders",
            "job_id": "JOB_ID",
        }
        if not os.environ.get("DDM_REGION"):
            event["region"] = "DDM_REGION"
        _print(_CALL_REAL_DDM.format(url=url, event=json.dumps(event)))
    try:
        while True:
            processes.check()
            time.sleep(0.5)
    except SystemExit:
        _print("\nStopped.")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n".replace(sample_events.TOKEN, "***"))
    sys.stdout.flush()


if __name__ == "__main__":
    errors.run(main)
