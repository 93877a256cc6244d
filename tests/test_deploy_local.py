"""`deploy.sh local`: installs, starts the function and a fake DDM, shows samples, serves, and ends all processes."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from helpers.deployment import DRY_RUN_ENDS, ROOT, Checkout, launcher, post
from helpers.markdown import README, README_CN, Page

from deploy import samples
from testing.fake_behaviours import BEHAVIOURS
from testing.function_server import free_port

ALL_EXPECTED = "7 of 7 responses as expected."
VENV, PIP, COPY = "-m venv --clear .venv", ".venv/bin/python -m pip install", "cp requirements.txt constraints.txt"
REQUIREMENTS = ("requirements.txt", "constraints.txt")
STATES = {
    "nothing": ((), [VENV, PIP, COPY]),
    "installed": (("venv", *REQUIREMENTS), []),
    "new requirements": (("venv", "constraints.txt"), [PIP, COPY]),
    "Python removed": (REQUIREMENTS, [VENV, PIP, COPY]),
}


def serve_until(checkout: Checkout, number: signal.Signals, **variables: str) -> tuple[list[str], object, list[str]]:
    """Run `deploy.sh local`, send the printed event, and then the signal.

    Returns the printed lines, the response, and the processes while it served.
    """
    port = free_port()
    with subprocess.Popen(
        [checkout.root / "deploy.sh", "local"],
        cwd=checkout.work,
        env=checkout.environment(PORT=str(port), **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "curl -sS" in line:
                    break
            response = post(port, json.loads(shlex.split(lines[-1])[-1]))
            running = checkout.processes()
        finally:
            process.send_signal(number)
        lines += process.stdout
        assert process.wait(timeout=30) == 0
    return lines, response, running


def test_local_shows_one_sample_whole_and_a_line_for_each_other(installed_checkout):
    result = installed_checkout.run("local", "--once", PORT=str(free_port()))
    assert result.status == 0
    assert "installing" not in result.stderr
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("< ")] == ["< 200"]
    body = json.loads(result.stdout.partition("< 200\n")[2].partition("\n}\n")[0] + "}")
    assert (body["verdict"], body["can_proceed"], len(body["checks"])) == ("PASS", True, 2)
    assert sum(", can_proceed " in line for line in lines) == 6
    assert lines[-1] == ALL_EXPECTED
    assert installed_checkout.processes() == []


@pytest.mark.parametrize("page", [README, README_CN], ids=["README", "README_CN"])
def test_the_readmes_show_the_output(installed_checkout, page: Page):
    """The READMEs show the output of ``./deploy.sh local``, completely or with an ellipsis for omitted lines."""
    port = str(free_port())
    output = installed_checkout.run("local", "--once", PORT=port).stdout.replace(port, "8080")
    prompt, *lines = page.code("output: ./deploy.sh local").splitlines()
    assert prompt == "$ ./deploy.sh local"
    assert len(lines) > 5
    pieces = "\n".join(lines).split("…\n")
    assert re.search(".*".join(re.escape(piece) for piece in pieces), output, re.DOTALL), output


def test_local_shows_every_sample_whole_on_demand(installed_checkout):
    result = installed_checkout.run("local", "--once", "--verbose", PORT=str(free_port()))
    lines = result.stdout.splitlines()
    assert sum(line.startswith("<") for line in lines) == 7
    assert lines.count("> event_function.handler") == 1
    assert (result.status, lines[-1]) == (0, ALL_EXPECTED)


def test_local_with_a_real_ddm_sends_it_nothing(installed_checkout):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        result = installed_checkout.run("local", "--once", PORT=str(free_port()), DDM_ENDPOINT=endpoint)
        with pytest.raises(TimeoutError):
            server.accept()
    assert (result.status, result.last_line) == (0, "2 of 2 responses as expected.")
    assert '"code": "invalid-event"' in result.stdout
    assert result.stdout.startswith("DDM_ENDPOINT is set: the function sends its requests to the real DDM")


def test_local_reports_a_wrong_response(fresh_checkout, installed_checkout):
    (fresh_checkout.root / ".venv").symlink_to(installed_checkout.root / ".venv")
    behaviours = fresh_checkout.root / "testing" / "fake_behaviours.py"
    behaviours.write_text(behaviours.read_text().replace('"WARN"', '"SUCCESS"'))
    result = fresh_checkout.run("local", "--once", PORT=str(free_port()))
    assert (result.status, result.last_line) == (1, "6 of 7 responses as expected.")
    assert "! db_name warn: expected 200 WARN" in result.stdout.splitlines()


def test_local_reports_a_function_that_does_not_start(installed_checkout):
    result = installed_checkout.run("local", "--once", PORT=str(free_port()), DDM_ENDPOINT="http://ddm.example")
    assert result.status == 1
    assert result.stderr.splitlines()[-1] == "deploy.sh: the function did not start: its log says why"
    assert "DDM_ENDPOINT" in result.stderr
    assert installed_checkout.processes() == []


def test_local_reports_a_port_in_use(installed_checkout):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = installed_checkout.run("local", PORT=str(port))
    assert (result.status, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert f"port {port} cannot be used" in result.stderr


def test_local_serves_until_a_signal(installed_checkout):
    """The printed event gets the FAIL, the names of the other behaviours follow, and the signal ends every process."""
    lines, (status, body), running = serve_until(installed_checkout, signal.SIGINT)
    assert (status, body["verdict"]) == (200, "FAIL")
    names = next(line for line in lines if line.startswith("db_name selects the response of the fake DDM: "))
    assert set(names.rstrip(".\n").partition(": ")[2].split(", ")) == BEHAVIOURS.keys() - {"orders"}
    assert lines[-1] == "Stopped.\n"
    assert len(running) == 3  # deploy.local, which has replaced the process of deploy.sh, the server and its worker
    assert installed_checkout.processes() == []


def test_the_printed_event_is_that_of_the_readme():
    assert README.json("event") == samples.README_EVENT


def test_the_printed_curl_for_a_real_ddm_has_placeholders(installed_checkout):
    """The IAM token comes from a variable, through a pipe."""
    endpoint = "http://127.0.0.1:9"
    lines, (status, body), _ = serve_until(installed_checkout, signal.SIGTERM, DDM_ENDPOINT=endpoint)
    curl = next(line for line in lines if "curl -sS" in line)
    assert '"$HUAWEICLOUD_TOKEN" | curl' in curl
    assert json.loads(shlex.split(curl)[-1])["region"] == "DDM_REGION"
    assert (status, body["code"]) == (400, "invalid-event")  # a token and a region are missing
    assert installed_checkout.processes() == []


@pytest.mark.parametrize(("present", "steps"), STATES.values(), ids=list(STATES))
def test_local_installs_what_is_needed(fresh_checkout, present, steps):
    venv = fresh_checkout.root / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in present:
        if name == "venv":
            (venv / "bin" / "python").write_text(launcher(sys.executable))
            (venv / "bin" / "python").chmod(0o755)
        else:
            shutil.copy(ROOT / name, venv)
    before = fresh_checkout.files()
    result = fresh_checkout.run("local", "--once", "--verbose", "--dry-run")
    expected = [*steps, "exec .venv/bin/python -m deploy.local --once --verbose"]
    assert (result.status, len(result.commands), fresh_checkout.files()) == (0, len(expected), before)
    assert result.last_line == DRY_RUN_ENDS
    for command, part in zip(result.commands, expected, strict=True):
        assert part in command
