"""The event function in a new process, as FunctionGraph starts it: only the package, beside what the runtime has."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from helpers import tool_cache
from helpers.deployment import find_python
from helpers.event_function import DELIVERIES, FOREIGN, PASSWORD, gateway, queue, smn, text, timer
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, ROOT, TOKEN
from helpers.platform_token import AGENCY_VARIABLES

from testing.fake_behaviours import check, results

pytestmark = pytest.mark.no_mutation  # the processes run the code of the package

LIBRARIES = ("requests", "urllib3", "idna", "certifi", "charset_normalizer", "*__mypyc*", "jsonschema*", "referencing")
LIBRARIES += ("rpds", "attr", "attrs", "typing_extensions.py")
YUANRONG = ("openyuanrong-sdk==0.9.10", "cloudpickle==3.1.3", "protobuf==7.36.2")


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Path:
    """A folder with the function and its libraries, as in the package."""
    folder = tmp_path_factory.mktemp("code")
    for name in ("ddm_precheck", "schemas"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "event_function.py", folder)
    site_packages = Path(sysconfig.get_path("purelib"))
    for path in (path for pattern in LIBRARIES for path in site_packages.glob(pattern)):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        (folder / "lib").mkdir(exist_ok=True)
        copy(path, folder / "lib" / path.name)
    return folder


def run(program: str, *path: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run a program in a new Python that has only the standard library and these folders."""
    program = f"import json, sys; sys.path[:0] = {list(map(str, path))}\n{program}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        env={"DDM_REGION": "cn-north-4", **variables},
        cwd=path[0],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_server_is_imported_and_no_signal_handler_set(code, fake_ddm):
    program = f"""if True:
        import signal
        handlers = [signal.getsignal(number) for number in signal.valid_signals()]
        import event_function
        event_function.initializer(None)
        verdict = event_function.handler({EVENT}, None)["verdict"]
        names = {{"flask", "werkzeug", "gunicorn", "functions_framework"}} & sys.modules.keys()
        same = handlers == [signal.getsignal(number) for number in signal.valid_signals()]
        print(json.dumps([verdict, list(names), same]))
    """
    done = run(program, code, DDM_ENDPOINT=fake_ddm.url)
    assert done.stderr == ""
    log, result = map(json.loads, done.stdout.splitlines())
    assert result == ["PASS", [], True]
    assert log["verdict"] == "PASS"


def test_an_old_library_on_the_path_is_not_used(code, tmp_path, fake_ddm):
    (tmp_path / "requests.py").write_text("__version__ = '2.24.0'")
    program = f"""if True:
        import event_function
        print(event_function.handler({EVENT}, None)["verdict"], sys.modules["requests"].__file__)
    """
    done = run(program, tmp_path, code, DDM_ENDPOINT=fake_ddm.url)
    assert done.stdout.splitlines()[1] == f"PASS {code}/lib/requests/__init__.py"


@pytest.mark.skipif(not os.environ.get("LONG_TESTS"), reason="downloads 61 MB; set LONG_TESTS=1")
def test_in_the_executor_of_openyuanrong(package, fake_ddm, tmp_path):
    python = find_python("3.12")
    install = (python, "-m", "pip", "install", "--quiet", "--no-deps", *YUANRONG, "--target")
    runtime = tool_cache.folder("openyuanrong-sdk-0.9.10", *install)
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    event = EVENT_WITHOUT_TOKEN
    fake_ddm.behaviours["leak"] = results(check("Primary keys", "FAILED", error_message=TOKEN))
    calls = [
        *((deliver(event), "PASS") for deliver in DELIVERIES.values()),
        *((deliver(event | {"db_name": "leak"}), "FAIL") for deliver in DELIVERIES.values()),
        *((record, "invalid-event") for record in FOREIGN.values()),
        *((value, "invalid-event") for value in (timer("Hello world"), smn("hello"), queue("hello"), smn(), queue())),
        (timer(event | {"db_name": "pending"}), "pending"),
        (smn(event, event | {"db_name": "throttled"}), "throttled"),
        (gateway(text(event)), "PASS"),
        (event | {"db_name": "fail"}, "FAIL"),
        (text(event | {"db_name": "unauthorized"}), "unauthorized"),
    ]
    done = subprocess.run(
        [python, "-I", "-S", ROOT / "tests" / "helpers" / "run_yuanrong.py", tmp_path, runtime],
        input=json.dumps([[value, TOKEN] for value, _ in calls]),
        env={"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4", **AGENCY_VARIABLES},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    outcomes = [outcome(response) for response in json.loads(done.stdout.splitlines()[-1])]
    assert outcomes == [expected for _, expected in calls]


def outcome(response: dict) -> str:
    """Return the verdict, or the code of the problem. Fails unless an exception is one line."""
    body = response["body"]
    if isinstance(body, str):
        assert response["code"] != "0"
        assert "\n" not in body
        return body.removeprefix("Fail to run user call handler. err: ").partition(":")[0]
    assert response["code"] == "0"
    body = json.loads(body["body"]) if "statusCode" in body else body
    return body.get("code") or body["verdict"]
