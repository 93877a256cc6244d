"""The memory of the served function: 512 MiB are enough for 64 callers with hostile data, and no body is kept.

Each test measures the master process and the worker together, and runs both in a cgroup of 512 MiB if this machine
allows cgroups. With ``LONG_TESTS=1`` in the environment, the tests send more requests.
"""

import itertools
import json
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from helpers import hostile_responses
from helpers.callers import CALLERS, event_body, outcomes, send_concurrently, send_in_sequence
from helpers.cgroup import MemoryCgroup, memory_cgroup
from helpers.envelopes import push_body
from helpers.function import EVENT, ServedFunction, serve_function

from testing.fake_behaviours import FakeResponse
from testing.fake_ddm import FakeDDM
from testing.fault_server import FaultServer, receive_bytes, reset
from testing.function_server import ServerError
from testing.hostile_bodies import hostile_events

MIB = 1024 * 1024
MAX_MIB = 400
MAX_GROWTH_MIB = 16
IS_LONG = bool(os.environ.get("LONG_TESTS"))
SMALL_OBJECTS = b",".join([b'{"a":0}'] * (256 * 1024 // 8 - 8))
REFUSED_EVENTS = {
    "small objects": b'{"accepted_warnings":[' + SMALL_OBJECTS + b"]}",
    "not JSON": b"[" + SMALL_OBJECTS,
}
SMALL_REFUSED_EVENT = b'{"unknown":[' + b'{"a":0},' * 100 + b"0]}"
LARGE_RESPONSE_BYTES = 2 * MIB


class MeasuredFunction:
    """A served function with 64 threads. Measures the memory of the function's processes."""

    def __init__(self, function: ServedFunction) -> None:
        self.function = function
        send_in_sequence(function, [b"{}"])
        self.server = function.server
        self.worker = self.server.worker

    def growth(self, body: bytes, *, warm_up: int, measured: int) -> float:
        """Send the body ``warm_up`` times and then ``measured`` times.

        Return by how many MiB the memory grows during the measured requests.
        """
        send_in_sequence(self.function, [body] * warm_up)
        before = self.server.memory()
        send_in_sequence(self.function, [body] * measured)
        return self.server.memory() - before


@contextmanager
def serve_measured_function(environment: Mapping[str, str], folder: Path) -> Iterator[MeasuredFunction]:
    """Serve the function as ``deploy.sh`` deploys it. Fails if the worker has ended."""
    with ExitStack() as stack:
        prefix: list[str] = []
        try:
            cgroup = stack.enter_context(memory_cgroup(512 * MIB))
            prefix = cgroup.prefix
        except OSError as error:
            print(f"without a memory cgroup: {error}")
        environment = {"THREADS": str(CALLERS), **environment}
        function = stack.enter_context(serve_function(environment, folder, prefix=prefix))
        measured = MeasuredFunction(function)
        yield measured
        assert measured.server.worker == measured.worker, "the worker has ended"


@pytest.fixture(scope="module")
def measured_function(fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredFunction]:
    """One function for all tests of this module, which sends its requests to the fake DDM."""
    environment = {"DDM_ENDPOINT": fake_ddm_server.url}
    with serve_measured_function(environment, tmp_path_factory.mktemp("large")) as measured:
        yield measured


@contextmanager
def small_cgroup() -> Iterator[MemoryCgroup]:
    """Create a cgroup of 64 MiB. Skip the test if this machine does not allow cgroups."""
    with ExitStack() as stack:
        try:
            cgroup = stack.enter_context(memory_cgroup(64 * MIB))
        except OSError as error:
            pytest.skip(f"This process may not create a memory cgroup: {error}")
        yield cgroup


def test_cgroup_ends_its_processes(tmp_path):
    """If a process exceeds the limit of the cgroup, the kernel ends the process. The other tests require this."""
    with small_cgroup() as cgroup:
        prefix = [*cgroup.prefix, sys.executable, "-c", "bytearray(256 * 1024 * 1024)"]
        with pytest.raises(ServerError, match="does not listen"), serve_function({}, tmp_path, prefix=prefix):
            pass
        assert cgroup.kills == 1


def test_cgroup_is_removed_after_its_last_process():
    """A process that ends shortly after the context does not prevent the removal of the cgroup."""
    with small_cgroup() as cgroup:
        process = subprocess.Popen([*cgroup.prefix, "sleep", "0.5"])
        while not (cgroup.folder / "cgroup.procs").read_text():
            time.sleep(0.01)
    assert process.wait() == 0
    assert not cgroup.folder.exists()


@pytest.mark.parametrize("body", REFUSED_EVENTS.values(), ids=REFUSED_EVENTS)
def test_refused_events_of_256_kib(measured_function: MeasuredFunction, body):
    """100 refused events, one after the other, do not stay in memory."""
    assert measured_function.growth(body, warm_up=10, measured=10_000 if IS_LONG else 100) < MAX_GROWTH_MIB


def test_many_refused_events(measured_function: MeasuredFunction):
    """10,000 refused events do not stay in memory. The events are small, so that the test needs only seconds."""
    growth = measured_function.growth(SMALL_REFUSED_EVENT, warm_up=100, measured=100_000 if IS_LONG else 10_000)
    assert growth < MAX_GROWTH_MIB


@pytest.mark.parametrize("name", ["note_small_objects", "unclosed text"])
def test_invalid_results(measured_function: MeasuredFunction, fake_ddm: FakeDDM, name):
    """Invalid results of 1 MiB, one after the other, do not stay in memory."""
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_responses.RESULTS[name])
    growth = measured_function.growth(event_body("large"), warm_up=10, measured=1000 if IS_LONG else 20)
    # The memory grows once, by the size of one parsed result. If all results stayed in memory, the growth would be
    # 400 MiB.
    assert growth < 2 * MAX_GROWTH_MIB


def test_failures_of_the_sink(fake_ddm: FakeDDM, tmp_path):
    """If the sink resets the connection, the summaries of 2 MiB do not stay in memory."""
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_responses.RESULTS["1,000 texts of 1 KiB"])
    push = json.dumps(push_body(EVENT | {"db_name": "large"})).encode()
    with (
        FaultServer([[receive_bytes, reset]], before_request=True) as sink,
        serve_measured_function({"DDM_ENDPOINT": fake_ddm.url, "K_SINK": sink.url}, tmp_path) as measured,
    ):
        assert measured.growth(push, warm_up=5, measured=1000 if IS_LONG else 40) < MAX_GROWTH_MIB
        assert outcomes(send_in_sequence(measured.function, [push])) == {"sink-unavailable": 1}


def test_lost_connections(tmp_path):
    """If DDM resets each connection, the requests do not stay in memory. Each request has a token of 64 KiB."""
    body = json.dumps(EVENT | {"token": "a" * 65_536}).encode()
    with (
        FaultServer([[reset]], before_request=True) as ddm,
        serve_measured_function({"DDM_ENDPOINT": ddm.url}, tmp_path) as measured,
    ):
        send_concurrently(measured.function, [body] * CALLERS)
        before = measured.server.memory()
        responses = send_concurrently(measured.function, [body] * CALLERS * (100 if IS_LONG else 4))
        growth = measured.server.memory() - before
    assert outcomes(responses) == {"upstream-unavailable": len(responses)}
    assert growth < MAX_GROWTH_MIB


def test_64_callers_with_large_events(measured_function: MeasuredFunction):
    """The memory stays within the limit if 64 concurrent callers send invalid events of 256 KiB."""
    bodies = [REFUSED_EVENTS["small objects"]] * CALLERS * (100 if IS_LONG else 1)
    responses = send_concurrently(measured_function.function, [*bodies, *hostile_events().values()])
    assert outcomes(responses) == {"invalid-event": len(responses)}
    assert measured_function.server.peak_memory() < MAX_MIB


def test_64_callers_with_large_results(measured_function: MeasuredFunction, fake_ddm: FakeDDM):
    """The memory stays within the limit if DDM sends results and errors of 1 MiB for 64 concurrent callers."""
    db_names = hostile_responses.add_behaviours(fake_ddm)
    for name in db_names if IS_LONG else []:
        send_concurrently(measured_function.function, [event_body(db_names[name])] * CALLERS)
    responses = send_concurrently(measured_function.function, [event_body(db_name) for db_name in db_names.values()])
    assert outcomes(responses).keys() == {"upstream-contract", "PASS", "WARN", "FAIL", "rejected"}
    assert measured_function.server.peak_memory() < MAX_MIB


def test_64_callers_with_broken_http(tmp_path):
    """The memory stays within the limit if DDM sends large heads, endless bodies and wrong chunks for 64 callers."""
    large_head = hostile_responses.SCRIPTS[
        "98 headers of 65 KB"
    ]  # for each second connection: of all scripts, the largest
    pairs = zip(hostile_responses.SCRIPTS.values(), itertools.repeat(large_head))
    scripts = list(itertools.islice(itertools.cycle(itertools.chain.from_iterable(pairs)), 1000))
    with (
        FaultServer(scripts) as ddm,
        serve_measured_function({"DDM_ENDPOINT": ddm.url, "DDM_TIMEOUT_SECONDS": "5"}, tmp_path) as measured,
    ):
        responses = send_concurrently(measured.function, [event_body()] * CALLERS * (10 if IS_LONG else 1))
        peak = measured.server.peak_memory()
    assert outcomes(responses).keys() <= {"upstream-contract", "upstream-unavailable", "upstream-timeout"}
    assert peak < MAX_MIB


def test_64_slow_callers(measured_function: MeasuredFunction, fake_ddm: FakeDDM):
    """The memory stays within the limit if 64 callers read their responses of 2 MiB with a delay.

    Each caller gets its response. After this, the operating system gets the memory of the responses back.
    """
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_responses.RESULTS["1,000 texts of 1 KiB"])
    send_concurrently(measured_function.function, [event_body("large")] * 4)
    before = measured_function.server.memory()
    with ExitStack() as stack:
        connections = [HTTPConnection("127.0.0.1", measured_function.function.port, timeout=60) for _ in range(CALLERS)]
        for connection in connections:
            stack.callback(connection.close)
            connection.request("POST", "/", event_body("large"))
        responses = [connection.getresponse() for connection in connections]
        time.sleep(20 if IS_LONG else 1)
        peak = measured_function.server.peak_memory()
        sizes = [len(response.read()) for response in responses]
    assert min(sizes) > LARGE_RESPONSE_BYTES
    assert peak < MAX_MIB
    assert measured_function.server.memory() - before < 2 * MAX_GROWTH_MIB


@pytest.mark.parametrize(
    "step", ["ddm_precheck.event.parse_event", "ddm_precheck.result.parse"], ids=["event", "result"]
)
def test_one_body_at_a_time(start, monkeypatch, step):
    """While the body of one request is parsed, no other body is parsed."""
    parse = pkgutil.resolve_name(step)
    running, max_running = [], 0

    def parse_slowly(*arguments: object) -> object:
        nonlocal max_running
        running.append(None)
        max_running = max(max_running, len(running))
        time.sleep(0.02)
        running.pop()
        return parse(*arguments)

    monkeypatch.setattr(step, parse_slowly)
    function = start()
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: function.exchange("POST", event_body(), {}), range(8)))
    assert (outcomes(responses), max_running) == ({"PASS": 8}, 1)
