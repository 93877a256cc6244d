"""Runs the function here with one event for each verdict; ``deploy.sh local`` starts this.

Unless DDM_ENDPOINT is set, a stand-in DDM answers, and the name of the database chooses what it says. The function's
own log lines go to standard error.
"""

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

_ROOT: Final = Path(__file__).resolve().parent.parent
_START_SECONDS: Final = 60
_ANSWER_SECONDS: Final = 60
_STOP_SECONDS: Final = 5
_LISTENING: Final = "listening on "
_TOKEN: Final = "the-token-of-the-samples"
_COMPARED: Final = ("verdict", "can_proceed", "retryable")


class LocalError(Exception):
    """The function cannot be shown here; the message says why, on one line."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An event, and what the answer to it must say."""

    event: Mapping[str, Any]
    status: int
    verdict: str
    can_proceed: bool
    retryable: bool
    code: str | None = None

    def mistakes(self, status: int, answer: Mapping[str, Any]) -> list[str]:
        """Say where the answer is not as it should be."""
        expected = {"HTTP status": self.status, "code": self.code} | {name: getattr(self, name) for name in _COMPARED}
        actual = {"HTTP status": status, "code": answer.get("code")} | {name: answer.get(name) for name in _COMPARED}
        return [
            f"{name} is {actual[name]!r} instead of {expected[name]!r}"
            for name in expected
            if actual[name] != expected[name]
        ]


class Processes:
    """The children, each in a process group of its own, so that none of their workers is left behind."""

    def __init__(self) -> None:
        """Start with no child."""
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._starting = False
        self._signal: int | None = None

    def __enter__(self) -> Self:
        """End the children also when this process is told to end."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        """End every child, first politely."""
        self._signal = self._signal or 0  # From here on a signal changes nothing.
        for child in self._children.values():
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0, deadline - time.monotonic()))
            _signal_group(child, signal.SIGKILL)
            child.wait()

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], stdout: int
    ) -> subprocess.Popen[bytes]:
        """Start a child. A signal in between waits, or the child would be running and unknown."""
        self._starting = True
        self._children[name] = subprocess.Popen(
            [sys.executable, *command],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            start_new_session=True,
        )
        self._starting = False
        if self._signal:
            raise SystemExit(128 + self._signal)
        return self._children[name]

    def check(self) -> None:
        """Raise LocalError where a child has ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise LocalError(f"{name} has ended with exit status {child.returncode}")

    def _interrupted(self, number: int, _: FrameType | None) -> None:
        """Leave for the first signal only: a second one must not stop the children's end."""
        if self._signal is None:
            self._signal = number
            if not self._starting:
                raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Start everything, send the samples, and serve until told to stop."""
    port = int(os.environ.get("PORT") or "8080")
    try:
        _require_free(port)
        with Processes() as processes:
            samples = _start(processes, port)
            wrong = _send(samples, f"http://127.0.0.1:{port}")
            if "--once" not in arguments:
                _serve(processes, port)
    except LocalError as error:
        sys.stderr.write(f"deploy.sh: {error}\n")
        return 1
    return 1 if wrong else 0


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # As the server does: connections of an earlier run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalError(f"port {port} cannot be used ({error.strerror}): set PORT to another one") from None


def _start(processes: Processes, port: int) -> Sequence[Sample]:
    """Start the stand-in where no DDM is given, then the function; return the samples that fit."""
    environment = dict(os.environ)
    samples: Sequence[Sample] = (_invalid_sample(),)
    if environment.get("DDM_ENDPOINT"):
        _say("DDM_ENDPOINT is set, so there is no stand-in and only an event that never reaches DDM is sent.")
    else:
        environment |= _stand_in(processes)
        samples = _verdict_samples()
    command = ("-m", "functions_framework", "--target", "precheck", "--host", "127.0.0.1", "--port", str(port))
    processes.start("the function", command, environment, sys.stderr.fileno())
    deadline = time.monotonic() + _START_SECONDS
    while not _accepts(port):
        processes.check()
        if time.monotonic() > deadline:
            raise LocalError(f"the function did not listen on port {port} within {_START_SECONDS} s")
        time.sleep(0.1)
    return samples


def _stand_in(processes: Processes) -> dict[str, str]:
    """Start the stand-in DDM and return the variables that send the function to it."""
    child = processes.start("the stand-in DDM", ("deploy/fake_ddm.py", "--port", "0"), os.environ, subprocess.PIPE)
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        line = child.stdout.readline().decode() if selector.select(_START_SECONDS) else ""
    if not line.startswith(_LISTENING):
        raise LocalError("the stand-in DDM did not start")
    # Whatever else it prints must not fill the pipe and hold it up.
    threading.Thread(target=shutil.copyfileobj, args=(child.stdout, sys.stderr.buffer), daemon=True).start()
    # A proxy of the machine cannot reach this machine's loopback address.
    no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"]))
    endpoint = line.removeprefix(_LISTENING).strip()
    region = os.environ.get("DDM_REGION") or "cn-north-4"
    return {"DDM_ENDPOINT": endpoint, "DDM_REGION": region, "NO_PROXY": no_proxy, "no_proxy": no_proxy}


def _verdict_samples() -> tuple[Sample, ...]:
    return (
        Sample(_event("pass"), 200, "PASS", can_proceed=True, retryable=False),
        Sample(_event("warn"), 200, "WARN", can_proceed=False, retryable=False),
        Sample(_event("fail"), 200, "FAIL", can_proceed=False, retryable=False),
        Sample(_event("pending"), 200, "PENDING", can_proceed=False, retryable=True),
        Sample(_event("unauthorized"), 401, "ERROR", can_proceed=False, retryable=False, code="unauthorized"),
    )


def _invalid_sample() -> Sample:
    event = {name: value for name, value in _event("orders").items() if name != "job_id"}
    return Sample(event, 400, "ERROR", can_proceed=False, retryable=False, code="invalid-event")


def _event(db_name: str) -> dict[str, str]:
    return {
        "project_id": "sample-project",
        "instance_id": "sample-instance",
        "db_name": db_name,
        "job_id": "11111111-2222-3333-4444-555555555555",
        "token": _TOKEN,
    }


def _send(samples: Sequence[Sample], url: str) -> bool:
    """Send the samples, show each with its answer, and return whether any answer was wrong."""
    failures = 0
    for sample in samples:
        _say(f"\n> POST {url}\n{_masked(json.dumps(sample.event, indent=2))}")
        status, body = _post(url, json.dumps(sample.event).encode())
        answer = _parsed(body)
        _say(f"< {status}\n{_masked(json.dumps(answer, indent=2, ensure_ascii=False) if answer else body)}")
        mistakes = sample.mistakes(status, answer)
        failures += bool(mistakes)
        for mistake in mistakes:
            _say(f"! {sample.event['db_name']}: {mistake}")
    _say(f"\n{len(samples) - failures} of {len(samples)} answers as expected.")
    return failures > 0


def _post(url: str, body: bytes) -> tuple[int, str]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_SECONDS) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        raise LocalError(f"the function did not answer: {error}") from None


def _parsed(body: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {}


def _serve(processes: Processes, port: int) -> None:
    """Say how to call the function, and stay until a signal comes."""
    event = json.dumps({**_event("orders"), "token": "TOKEN"})
    _say("\nServing until Ctrl-C. Call it yourself:\n")
    _say(f"  curl -sS http://127.0.0.1:{port} -H 'Content-Type: application/json' -d '{event}'\n")
    try:
        while True:
            processes.check()
            time.sleep(0.5)
    except SystemExit:
        _say("\nStopped.")


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    """Signal a child and all that it has started; the group may be gone already."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _masked(text: str) -> str:
    return text.replace(_TOKEN, "***")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
