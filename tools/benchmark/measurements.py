"""Starts the functions and measures them: CPU time, throughput, peak memory and cold start."""

import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from testing import EVENT, TOKEN
from testing.fake_behaviours import EIGHT_CHECKS, FakeResponse
from testing.fake_ddm import FakeDDM, own_process
from testing.function_server import ROOT, FunctionServer, serve
from tools.benchmark.cold_start import Package, cold_starts

FUNCTION: Final = "this function"
PEERS: Final = {"framework + pooled requests": "pooled_requests", "vendor SDK": "vendor_sdk"}
SIZES: Final = {2: 100, 8: 100, 20: 100, 1000: 20}
"""By number of checks in DDM's result: the number of requests in one sample of the CPU time."""

_CLIENTS: Final = 64
THROUGHPUT_CHECKS: Final = 20
LOAD_SECONDS: Final = 2.0
_CONTENT_LENGTH: Final = re.compile(rb"(?i)content-length: (\d+)")


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run, by the name of the implementation.

    - ``cpu``: CPU milliseconds of a request, by number of checks.
    - ``peak_memory``: MiB of master and worker, after 64 concurrent requests with 1,000 checks.
    - ``throughput``: requests per second on one core; empty on a machine with one core.
    - ``cold_start``: CPU milliseconds, by the kinds of `cold_start.COLD_STARTS` that the revision has.
    """

    cpu: Mapping[str, Mapping[int, float]]
    peak_memory: Mapping[str, float]
    throughput: Mapping[str, float]
    cold_start: Mapping[str, Mapping[str, float]]


def measure(rounds: int, revision: str | None, folder: Path) -> Figures:
    """Measure the function and its peers, and a revision of the function if there is one."""
    with ExitStack() as stack:
        ddm = stack.enter_context(FakeDDM())
        for size in SIZES:
            response = FakeResponse(200, _result(size))
            ddm.behaviours[f"checks_{size}"] = lambda _, response=response: response  # type: ignore[misc]
        ddm_pid = stack.enter_context(own_process(ddm))
        roots = {FUNCTION: ROOT}
        if revision:
            roots[revision] = stack.enter_context(_checked_out(revision, folder / "revision"))
        variables = {"DDM_ENDPOINT": ddm.url, "DDM_REGION": "cn-north-4", "THREADS": str(_CLIENTS)}
        sources = {name: (ROOT, f"tools/benchmark/peers/{module}.py") for name, module in PEERS.items()}
        sources |= {name: (root, "main.py") for name, root in roots.items()}
        instances = {
            name: stack.enter_context(serve(variables, folder / f"{number}.log", root=root, source=source))
            for number, (name, (root, source)) in enumerate(sources.items())
        }
        cpu = _cpu_times(instances, rounds)
        peak_memory = _peak_memory(instances)
        throughput = _throughput(instances, ddm_pid, max(rounds // 5, 1))
        packages = {name: Package(root, folder / f"package-{n}") for n, (name, root) in enumerate(roots.items())}
        cold_start = cold_starts(packages, ddm.url, rounds)
    return Figures(cpu, peak_memory, throughput, cold_start)


@contextmanager
def _checked_out(revision: str, folder: Path) -> Iterator[Path]:
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, revision], cwd=ROOT, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def _event(checks: int) -> bytes:
    return json.dumps(EVENT | {"db_name": f"checks_{checks}", "expected_checks": 2, "token": TOKEN}).encode()


def _result(size: int) -> bytes:
    checks = [EIGHT_CHECKS[number % 8] | {"name": f"Check {number}"} for number in range(size)]
    return json.dumps({"job_id": EVENT["job_id"], "pre_check_results": checks}).encode()


def _cpu_times(instances: Mapping[str, FunctionServer], rounds: int) -> dict[str, dict[int, float]]:
    samples: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for size, count in SIZES.items():
            for name, instance in instances.items():
                before = instance.cpu_seconds()
                _send_sequentially(instance.port, _event(size), count)
                samples[name, size].append((instance.cpu_seconds() - before) / count * 1000)
    # The first round fills caches.
    return {name: {size: statistics.median(samples[name, size][-rounds:]) for size in SIZES} for name in instances}


def _send_sequentially(port: int, body: bytes, count: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {content!r}")
    connection.close()


def _throughput(instances: Mapping[str, FunctionServer], ddm_pid: int, rounds: int) -> dict[str, float]:
    """Run each instance on one core, the fake DDM and the clients on the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return {}
    _run_on(others, ddm_pid)
    for instance in instances.values():
        _run_on([first], instance.master, instance.worker)
    samples: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, instance in instances.items():
            samples[name].append(_load(instance.port, THROUGHPUT_CHECKS, others))
    return {name: statistics.median(values) for name, values in samples.items()}


def _run_on(cores: Iterable[int], *processes: int) -> None:
    """Restrict all threads of the processes, including later threads, to these cores."""
    for task in (task for pid in processes for task in Path(f"/proc/{pid}/task").iterdir()):
        os.sched_setaffinity(int(task.name), cores)


def _peak_memory(instances: Mapping[str, FunctionServer]) -> dict[str, float]:
    for instance in instances.values():
        _load(instance.port, 1000, os.sched_getaffinity(0))
    return {name: instance.peak_memory() for name, instance in instances.items()}


def _load(port: int, checks: int, cores: Iterable[int]) -> float:
    """Send requests from 64 clients in a separate process, and return the responses per second."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_send_concurrently, (port, _event(checks), set(cores)))


def _send_concurrently(port: int, body: bytes, cores: set[int]) -> float:
    os.sched_setaffinity(0, cores)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    async def client(start: float) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while (now := time.monotonic()) < start + LOAD_SECONDS:
            writer.write(head.encode() + body)
            response = await reader.readuntil(b"\r\n\r\n")
            length = _CONTENT_LENGTH.search(response)
            if not response.startswith(b"HTTP/1.1 200 ") or not length:
                raise RuntimeError(f"unexpected response: {response!r}")
            await reader.readexactly(int(length[1]))
            count += now >= start
        writer.close()
        return count

    async def all_clients() -> int:
        start = time.monotonic() + LOAD_SECONDS / 4  # the first requests start threads and open connections
        return sum(await asyncio.gather(*(client(start) for _ in range(_CLIENTS))))

    return asyncio.run(all_clients()) / LOAD_SECONDS
