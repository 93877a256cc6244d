"""Fixtures: the fake DDM, and the function, in this process and served by functions-framework."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.certificates import Authority
from helpers.function import Function, InProcessFunction, ServedFunction, serve_function
from helpers.platform_token import AGENCY_VARIABLES, TokenFile
from hypothesis import HealthCheck, settings

from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment

pytest_plugins = ["helpers.deployment"]

SLOW_MODULES = (
    *("test_arbitrary_input", "test_benchmark", "test_deploy", "test_event_function", "test_example", "test_generated"),
    *("test_memory", "test_pubsub", "test_serving", "test_soak", "test_verdict", "test_waiting"),
)
"""Prefixes of the modules that take ten seconds or more."""

OTHER_SUBJECTS = ("test_benchmark", "test_dependencies", "test_deploy", "test_docs")
OTHER_SUBJECTS += ("test_example", "test_fake_ddm", "test_generated_files", "test_layout", "test_pubsub", "test_soak")
"""Prefixes of the modules whose subject is not the function."""

if "MUTANT_UNDER_TEST" in os.environ:  # in the copy that mutmut makes, which lacks the files that these modules read
    collect_ignore_glob = [f"{prefix}*" for prefix in OTHER_SUBJECTS]


settings.register_profile(
    "tests",
    max_examples=int(os.environ.get("EXAMPLES", "100")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Handle SIGINT. A shell ignores SIGINT for a run in the background, and child processes would inherit this."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the fixture `function` in this process, and over sockets as well if it has the marker."""
    if "function" in metafunc.fixturenames and metafunc.definition.get_closest_marker("sockets"):
        served = pytest.param("served", marks=pytest.mark.no_mutation)
        metafunc.parametrize("function", ["in-process", served], indirect=True)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return a short ID without backslashes: mutmut collects the tests twice, and pytest escapes them each time."""
    text = val[:40].decode("latin-1") if isinstance(val, bytes) else val
    return ascii(text[:40])[1:-1].replace("\\", "")[:40] if isinstance(text, str) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slow modules last, so that most failures appear early.

    In a parallel run, start the slow modules first: otherwise one process runs the last module while the others are
    idle.
    """
    is_parallel = hasattr(config, "workerinput")
    items.sort(key=lambda item: (item.path.stem.startswith(SLOW_MODULES) != is_parallel, item.path.name))


@pytest.fixture(scope="session")
def fake_ddm_server() -> Iterator[FakeDDM]:
    """One fake DDM for the whole run."""
    with FakeDDM() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def fake_ddm(fake_ddm_server: FakeDDM) -> Iterator[FakeDDM]:
    """The fake DDM with its standard behaviours and no recorded requests. It is reset before and after the test."""
    fake_ddm_server.reset()
    yield fake_ddm_server
    fake_ddm_server.reset()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, fake_ddm: FakeDDM) -> dict[str, str]:
    """The environment variables of the function in this process. They replace os.environ, which create_app changes."""
    variables = clean_environment() | {"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4"}
    monkeypatch.setattr(os, "environ", variables)
    return variables


@pytest.fixture
def start(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Callable[..., InProcessFunction]:
    """Start the function in this process with further environment variables. The value None removes a variable."""

    def start_function(**variables: str | None) -> InProcessFunction:
        for name, value in variables.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        return InProcessFunction(capsys)

    return start_function


@pytest.fixture(scope="session")
def served_function(fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFunction]:
    """One served function for the whole run."""
    variables = {"DDM_ENDPOINT": fake_ddm_server.url, "DDM_REGION": "cn-north-4"}
    with serve_function(variables, tmp_path_factory.mktemp("served")) as function:
        yield function


@pytest.fixture
def function(request: pytest.FixtureRequest, environment: dict[str, str]) -> Function:
    """The function with the default settings: in this process, or served if the parameter says so."""
    if getattr(request, "param", "") == "served":
        return request.getfixturevalue("served_function")
    return InProcessFunction(request.getfixturevalue("capsys"), shared=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority for one test."""
    return Authority(tmp_path)


@pytest.fixture
def token_file(tmp_path: Path) -> TokenFile:
    """A file with the platform token and a newline."""
    return TokenFile(tmp_path / "ddm-token")


@pytest.fixture
def function_with_file(start: Callable[..., InProcessFunction], token_file: TokenFile) -> Function:
    """The function that reads the platform token from a file."""
    return start(**token_file.variables)


@pytest.fixture
def function_with_agency(start: Callable[..., InProcessFunction]) -> Function:
    """The function that uses the token of an agency."""
    return start(**AGENCY_VARIABLES)
