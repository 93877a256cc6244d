"""A stdout that is closed, full, blocked or broken: log entries are lost, and nothing else changes."""

import json
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.callers import CALLERS, event_body, outcomes, send_concurrently, send_in_sequence
from helpers.envelopes import push_body
from helpers.function import EVENT, ServedFunction, serve_function
from helpers.sink import Sink

from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM

PAGE_BYTES = 4096
LONG_NAMES = [f"{'检' * 195}{number}" for number in range(50)]
REDIRECTIONS = {
    "closed": 'exec "$@" >&-',
    "full device": 'exec "$@" >/dev/full',
    "not open for writing": 'exec "$@" 1</dev/null',
}


class Pipe:
    """A named pipe that can be the stdout of a function."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.redirection = f'exec "$@" >"{path}"'
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def fill(self, *, free_pages: int = 0) -> None:
        """Write until the pipe is full, and then read this many pages."""
        for size in (PAGE_BYTES, 1):
            while self._is_ready(select.POLLOUT, 0):
                try:
                    os.write(self.descriptor, b"." * size)
                except BlockingIOError:
                    break
        for _ in range(free_pages):
            os.read(self.descriptor, PAGE_BYTES)

    def read(self) -> bytes:
        """Read all bytes in the pipe."""
        data = b""
        while self._is_ready(select.POLLIN, 200):
            data += os.read(self.descriptor, 65_536)
        return data

    def _is_ready(self, event: int, milliseconds: int) -> bool:
        poll = select.poll()  # select.select() accepts only the first 1024 descriptors
        poll.register(self.descriptor, event)
        return bool(poll.poll(milliseconds))


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """A pipe. The fixture keeps its only reading end open."""
    pipe = Pipe(tmp_path / "stdout")
    yield pipe
    os.close(pipe.descriptor)


@contextmanager
def serve_redirected(redirection: str, fake_ddm: FakeDDM, folder: Path, **variables: str) -> Iterator[ServedFunction]:
    """Serve the function with this redirection of the shell. The function's stderr goes to its log file."""
    environment = {"DDM_ENDPOINT": fake_ddm.url, "THREADS": str(CALLERS), **variables}
    with serve_function(environment, folder, prefix=["/bin/sh", "-c", redirection, "sh"]) as function:
        yield function


def assert_responses_are_right(function: ServedFunction) -> None:
    """Send some events. Fail unless each event gets its own response within seconds."""
    started = time.monotonic()
    bodies = [event_body(), event_body("fail"), b"{}", event_body("not_found"), event_body("running")]
    assert [*outcomes(send_in_sequence(function, bodies))] == [
        *("PASS", "FAIL", "invalid-event", "not-found", "upstream-contract"),
    ]
    assert outcomes(send_concurrently(function, [event_body()] * CALLERS)) == {"PASS": CALLERS}
    assert time.monotonic() - started < 15  # a write that blocks would never end
    assert "Traceback" not in "".join(function.new_log_lines())


def assert_sink_receives_each_summary(function: ServedFunction, sink: Sink) -> None:
    """Send some event deliveries. Fail unless each of them gets 202 and the sink receives each summary once."""
    push = json.dumps(push_body(EVENT)).encode()
    assert [response.status for response in send_in_sequence(function, [push] * 5)] == [202] * 5
    assert len(sink.received) == 5


@pytest.mark.parametrize(
    ("redirection", "execution_id"),
    [*((redirection, "") for redirection in REDIRECTIONS.values()), (REDIRECTIONS["closed"], "true")],
    ids=[*REDIRECTIONS, "closed, LOG_EXECUTION_ID"],
)
def test_stdout_cannot_be_written(fake_ddm: FakeDDM, tmp_path, redirection, execution_id):
    """If stdout is closed or full, each response is right, and the sink receives each summary once."""
    with (
        Sink() as sink,
        serve_redirected(redirection, fake_ddm, tmp_path, K_SINK=sink.url, LOG_EXECUTION_ID=execution_id) as function,
    ):
        assert_responses_are_right(function)
        assert_sink_receives_each_summary(function, sink)


@pytest.mark.parametrize(
    ("free_pages", "execution_id"),
    [(0, ""), (1, ""), (0, "true")],
    ids=["full", "one page free", "full, LOG_EXECUTION_ID"],
)
def test_nobody_reads_stdout(fake_ddm: FakeDDM, tmp_path, pipe: Pipe, free_pages, execution_id):
    """If the pipe is not read, no request waits for the pipe. After a read, log entries are written again."""
    variables = {"LOG_EXECUTION_ID": execution_id}
    with (
        Sink() as sink,
        serve_redirected(pipe.redirection, fake_ddm, tmp_path, K_SINK=sink.url, **variables) as function,
    ):
        pipe.fill(free_pages=free_pages)
        assert_responses_are_right(function)
        assert_sink_receives_each_summary(function, sink)
        pipe.read()
        send_in_sequence(function, [event_body()])
        assert json.loads(pipe.read())["verdict"] == "PASS"


def test_long_entry_and_one_page_free(fake_ddm: FakeDDM, tmp_path, pipe: Pipe):
    """The longest log entry fits into one page of a pipe, so that a write never blocks between two pages."""
    fake_ddm.behaviours["long"] = results(*(check(name, "WARN") for name in LONG_NAMES))
    body = json.dumps(EVENT | {"db_name": "long", "accepted_warnings": LONG_NAMES}).encode()
    with serve_redirected(pipe.redirection, fake_ddm, tmp_path) as function:
        pipe.fill(free_pages=1)
        assert outcomes(send_in_sequence(function, [body])) == {"WARN": 1}
        assert_responses_are_right(function)
        pipe.read()
        send_in_sequence(function, [body])
        line = pipe.read()
    entry = json.loads(line)
    assert len(line) <= PAGE_BYTES
    assert entry["message"].startswith("50 of 50 checks warned (50 accepted): 检")
    *names, rest = entry["accepted_warnings"]
    assert names == LONG_NAMES[: len(names)]
    assert rest == f"… and {len(LONG_NAMES) - len(names)} more"


def test_reading_end_of_stdout_is_closed(fake_ddm: FakeDDM, tmp_path, pipe: Pipe):
    """If the reading end of the pipe is closed, each response is right, and the sink receives each summary once."""
    with Sink() as sink, serve_redirected(pipe.redirection, fake_ddm, tmp_path, K_SINK=sink.url) as function:
        send_in_sequence(function, [event_body()])
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, pipe.descriptor)  # closes the reading end
        os.close(null)
        assert_responses_are_right(function)
        assert_sink_receives_each_summary(function, sink)
