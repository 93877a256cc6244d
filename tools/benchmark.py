"""What the function costs beside its peers, measured side by side in one run.

    tests/.venv/bin/python tools/benchmark.py

It prints the CPU time that the serving process spends on a request, the CPU time of a cold start, and the latency
under load. Milliseconds of two machines cannot be compared, so look at the ratios. Nothing passes or fails here.
It needs Linux, for the clock of another process, and stops by itself after about two minutes.

This file is several programs: the bench; the peers, which functions-framework serves from here as it serves the
function; a DDM whose answers lie ready, and the callers, each in a process of its own so as not to disturb.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jsonschema
import requests
from conftest import EVENT, ROOT, Served, clean_environment, served
from flask import Request, Response
from requests.adapters import HTTPAdapter

from deploy.fake_behaviours import BINLOG, PRIMARY_KEYS, TIME_ZONE

SIZES: Final = {2: 100, 20: 100, 1000: 20}
"""Number of checks in DDM's answer: how many requests make a sample."""

THREADS: Final = 64
SLOW_SECONDS: Final = 0.25
CALLS: Final = 20
"""How often each of the callers calls under load; there is one for each thread."""

COLD_STARTS: Final = {
    "import of the three packages": "import functions_framework, jsonschema, requests",
    "create_app": "from functions_framework import create_app; create_app('precheck', 'main.py')",
}


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description="Measure the function beside its peers.")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each figure, threefold for a cold start")
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        endpoint = stack.enter_context(ddm())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        functions = {}
        for name in [*PEERS, "the function"]:
            source = {"FUNCTION_SOURCE": __file__, "BENCH_PEER": name} if name in PEERS else {}
            variables = {"DDM_ENDPOINT": endpoint, "DDM_REGION": "cn-north-4", "THREADS": str(THREADS)}
            functions[name] = stack.enter_context(served(variables | source, folder))
        print_cpu(functions, rounds)
        # A deployed function is compiled, so this one is compiled as well: in the first round.
        compiled = {"PYTHONPYCACHEPREFIX": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
        print_cold_start(clean_environment() | compiled | {"DDM_ENDPOINT": endpoint}, 3 * rounds)
        print_latency(functions)


# The figures


def print_cpu(functions: dict[str, Served], rounds: int) -> None:
    """Print a request's CPU time by peer and number of checks, and what part of it the function needs."""
    samples = defaultdict(list)
    for _ in range(rounds + 1):
        for size, number in SIZES.items():
            for name, function in functions.items():
                samples[name, size].append(cpu_of_requests(function, size, number) / number)
    # The first round is for warming up.
    median = {key: statistics.median(values[1:]) * 1000 for key, values in samples.items()}
    print(f"{'CPU of a request':32}" + "".join(f"{size:>14} checks" for size in SIZES))
    for name in functions:
        cells = ((median[name, size], median["the function", size] / median[name, size]) for size in SIZES)
        print(f"{name:32}" + "".join(f"{ms:9.2f} ms  ({ratio:.2f})" for ms, ratio in cells))
    print("In brackets: the function's part of it.\n")


def cpu_of_requests(function: Served, size: int, number: int) -> float:
    """Send so many requests one after the other, and return the CPU time that the worker spent on them."""
    master = function.process.pid
    worker = int(Path(f"/proc/{master}/task/{master}/children").read_text())
    clock = ~worker << 3 | 2  # the CPU clock of a process, as clock_getcpuclockid(3) makes it
    connection = HTTPConnection(function.url.split("/")[2])
    body = json.dumps(EVENT | {"db_name": f"checks_{size}"})
    before = time.clock_gettime(clock)
    for _ in range(number):
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    spent = time.clock_gettime(clock) - before
    connection.close()
    return spent


def print_cold_start(environment: dict[str, str], rounds: int) -> None:
    """Print what a fresh interpreter needs for the packages alone, and for the function."""
    samples = defaultdict(list)
    for _ in range(rounds + 1):
        for name, statement in COLD_STARTS.items():
            program = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
            command = [sys.executable, "-c", program]
            output = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True).stdout
            samples[name].append(float(output) * 1000)
    pairs = list(zip(*samples.values(), strict=True))[1:]
    packages, function = (statistics.median(each) for each in zip(*pairs, strict=True))
    # Of neighbours, since a start takes long enough for the machine to change its pace.
    ratio = statistics.median(function / packages for packages, function in pairs)
    print(f"cold start, CPU: packages {packages:.0f} ms, function {function:.0f} ms ({ratio:.2f})\n")


def print_latency(functions: dict[str, Served]) -> None:
    """Print the latency that as many callers as threads see, while DDM takes its time."""
    for name in ("framework + pooled requests", "the function"):
        with multiprocessing.Pool(1) as pool:
            latencies = pool.apply(call_at_once, (functions[name].url,))
        *_, p95 = statistics.quantiles(latencies, n=20)
        p50 = statistics.median(latencies)
        print(
            f"{THREADS} callers, DDM {SLOW_SECONDS * 1000:.0f} ms: {name:28} p50 {p50 * 1000:.0f} ms"
            f" ({p50 / SLOW_SECONDS:.2f}), p95 {p95 * 1000:.0f} ms ({p95 / SLOW_SECONDS:.2f})"
        )


# The peers, and who calls and answers them


def precheck(request: Request) -> Any:
    """Be the peer that the environment names; functions-framework calls this."""
    return PEERS[os.environ["BENCH_PEER"]](request)


def requests_alone(request: Request) -> Response:
    """Do what cannot be saved: functions-framework, and a call with a pooled session."""
    event = request.get_json()
    reply = session().get(url(event), headers={"X-Auth-Token": event["token"]}, timeout=10)
    return Response(reply.content, content_type="application/json")


def sdk(request: Request) -> dict[str, Any]:
    """Ask through Huawei Cloud's SDK: one client for the process, AK and SK, its defaults; nothing is validated."""
    from huaweicloudsdkddm.v1 import CheckPreliminaryResultsRequest  # noqa: PLC0415 - no other peer is to load it

    event = request.get_json()
    asked = CheckPreliminaryResultsRequest(event["instance_id"], event["db_name"], event["job_id"])
    found = sdk_client(event["project_id"]).check_preliminary_results(asked)
    return verdict({check.status for check in found.pre_check_results})


def stock_validators(request: Request) -> dict[str, Any]:
    """Do it the straight way: a pooled session, and jsonschema's own validators, made once."""
    event = request.get_json()
    validator("event").validate(event)
    document = session().get(url(event), headers={"X-Auth-Token": event["token"]}, timeout=10).json()
    validator("precheck-result").validate(document)
    return verdict({check["status"] for check in document["pre_check_results"]})


def tutorial(request: Request) -> dict[str, Any]:
    """Do it as the packages' tutorials do."""
    event = request.get_json()
    jsonschema.validate(event, schema("event"))
    document = requests.get(url(event), headers={"X-Auth-Token": event["token"]}, timeout=10).json()
    jsonschema.validate(document, schema("precheck-result"))
    return verdict({check["status"] for check in document["pre_check_results"]})


PEERS: Final = {
    "framework + pooled requests": requests_alone,
    "the vendor's SDK": sdk,
    "stock validators, pooled": stock_validators,
    "the tutorials' way": tutorial,
}


def verdict(statuses: set[str]) -> dict[str, Any]:
    """Return a verdict and nothing else: far less than the function answers."""
    return {"verdict": "FAIL" if "FAILED" in statuses else "WARN" if "WARN" in statuses else "PASS"}


def url(event: dict[str, Any]) -> str:
    """Return DDM's URL for the event."""
    path = "/v3/{project_id}/instances/{instance_id}/databases/{db_name}/migration/precheck/{job_id}"
    return os.environ["DDM_ENDPOINT"] + path.format_map(event)


@cache
def session() -> requests.Session:
    """Return the peers' one session."""
    pooled = requests.Session()
    pooled.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
    return pooled


@cache
def sdk_client(project_id: str) -> Any:
    """Return the SDK's one client."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: PLC0415 - as above
    from huaweicloudsdkddm.v1 import DdmClient  # noqa: PLC0415 - as above

    credentials = BasicCredentials("AK", "SK", project_id)
    return DdmClient.new_builder().with_credentials(credentials).with_endpoint(os.environ["DDM_ENDPOINT"]).build()


@cache
def schema(name: str) -> Any:
    """Return one of the function's schemas."""
    return json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())


@cache
def validator(name: str) -> Any:
    """Return jsonschema's own validator of it."""
    return jsonschema.Draft202012Validator(schema(name))


@contextmanager
def ddm() -> Iterator[str]:
    """Run a DDM in a process of its own, and tell its URL."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=serve_ddm, args=(sender,), daemon=True)
    process.start()
    yield receiver.recv()
    process.terminate()


def serve_ddm(sender: Connection) -> None:
    """Serve answers that lie ready, and send the URL through the pipe."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(ReadyDDM, "127.0.0.1", backlog=256)
        sender.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(serve())


class ReadyDDM(asyncio.Protocol):
    """One connection to DDM; the schema's name, ``checks_20`` or ``slow_20``, says what to answer and when."""

    def connection_made(self, transport: Any) -> None:
        """Keep the way to answer."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request, which is small enough to come in one piece."""
        kind, _, size = data.split(b"/", 7)[6].partition(b"_")
        delay = SLOW_SECONDS if kind == b"slow" else 0
        asyncio.get_running_loop().call_later(delay, self.transport.write, ready_answer(int(size)))


@cache
def ready_answer(size: int) -> bytes:
    """Return the bytes of an answer with so many checks."""
    checks = [(PRIMARY_KEYS, TIME_ZONE, BINLOG)[number % 3] for number in range(size)]
    body = json.dumps({"job_id": EVENT["job_id"], "pre_check_results": checks}).encode()
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nX-Request-Id: 1"
    return f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body


def call_at_once(url: str) -> list[float]:
    """Call from as many callers as the function has threads, and return each call's latency."""

    async def call_all() -> list[float]:
        latencies = await asyncio.gather(*(call_often(urlsplit(url).port) for _ in range(THREADS)))
        return [latency for each in latencies for latency in each]

    return asyncio.run(call_all())


async def call_often(port: int | None) -> list[float]:
    """Call one after the other on one connection; the first call, which starts a thread, does not count."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(EVENT | {"db_name": "slow_20"}).encode()
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    latencies = []
    for _ in range(CALLS + 1):
        start = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", answer)[1]))
        latencies.append(time.perf_counter() - start)
    writer.close()
    return latencies[1:]


if __name__ == "__main__":
    main()
