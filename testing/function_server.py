"""Serves a function with functions-framework in its own processes, and reads their resource usage from /proc."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 10
_VARIABLES_OF_THE_FUNCTION: Final = re.compile(
    r"(?i)(DDM_|K_|CLOUD_RUN_|FUNCTION_|GUNICORN_).*|THREADS|WORKERS|PORT|LOG_EXECUTION_ID|.*_proxy|.*_CA_BUNDLE"
)


class ServerError(Exception):
    """The server does not listen, or one of its processes has ended."""


class FunctionServer:
    """The server of one function: gunicorn's master process and the worker that handles the requests."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.port = port
        self.process = process
        self.master = process.pid

    @property
    def worker(self) -> int:
        """The process ID of the worker. After a crash, the master starts a new worker with another process ID."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        if not children:
            raise ServerError("the worker has ended")
        return int(children[0])

    def cpu_seconds(self) -> float:
        """Return the CPU time of the worker since its start."""
        # The ID of the CPU-time clock of a process, as clock_getcpuclockid(3) computes it.
        return time.clock_gettime(~self.worker << 3 | 2)

    def memory(self) -> float:
        """Return the resident memory of master and worker together, in MiB."""
        return sum(_status(pid, "VmRSS") for pid in (self.master, self.worker)) / 1024

    def peak_memory(self) -> float:
        """Return the sum of master's and worker's peak resident memory, in MiB."""
        return sum(_status(pid, "VmHWM") for pid in (self.master, self.worker)) / 1024

    def threads(self) -> int:
        """Return the number of threads of the worker."""
        return _status(self.worker, "Threads")

    def file_descriptors(self) -> int:
        """Return the number of open file descriptors of the worker."""
        return len(list(Path(f"/proc/{self.worker}/fd").iterdir()))

    def connections(self) -> int:
        """Return the number of TCP connections of the worker, listening sockets not included."""
        links = set()
        for descriptor in Path(f"/proc/{self.worker}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed in the meantime
                links.add(str(descriptor.readlink()))
        connections = [line.split() for line in Path(f"/proc/{self.worker}/net/tcp").read_text().splitlines()[1:]]
        listening = "0A"
        return sum(f"socket:[{fields[9]}]" in links and fields[3] != listening for fields in connections)


@contextmanager
def serve(  # noqa: PLR0913 - only two arguments are required
    variables: Mapping[str, str],
    log: Path | None,
    *,
    root: Path = ROOT,
    source: str = "main.py",
    target: str = "precheck",
    prefix: Sequence[str] = (),
) -> Iterator[FunctionServer]:
    """Serve the function ``target`` in ``root/source`` while the context lasts.

    ``variables`` are the function's environment variables. Without PORT, the port is a free one. The function's output
    is written to the file ``log``, or to standard error.
    ``prefix`` is a command that runs its arguments as a command, such as `env`.

    Raises ServerError if the function does not listen within 30 seconds.
    """
    port = int(variables.get("PORT") or free_port())
    command = [*prefix, sys.executable, "-m", "functions_framework", "--target", target, "--source", source]
    with (
        log.open("wb") if log else nullcontext(sys.stderr) as output,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=root,
            env={**clean_environment(), **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait_until_listening(port, process, log)
            yield FunctionServer(port, process)
        finally:
            _stop(process)


def free_port() -> int:
    """Return a loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """Return the environment without the variables that the function, its server or requests read."""
    return {name: value for name, value in os.environ.items() if not _VARIABLES_OF_THE_FUNCTION.fullmatch(name)}


def _status(pid: int, field: str) -> int:
    """Return a number of /proc/PID/status. Sizes are in KiB."""
    match = re.search(rf"^{field}:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if not match:
        raise ServerError(f"process {pid} has ended")
    return int(match[1])


def _wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path | None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise ServerError("the function does not listen" + (f":\n{log.read_text(errors='replace')}" if log else ""))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop the master, wait for it at most 10 seconds, and kill the processes of its group that still run.

    SIGQUIT stops gunicorn immediately. With SIGTERM, the stop would take up to two seconds.
    """
    process.send_signal(signal.SIGQUIT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
