"""`deploy.sh`: wrong uses, its help, the table of its options, and how it finds its folder and a Python."""

import re
import subprocess
import sys

import pytest
from helpers.deployment import (
    CLOUD_RUN,
    FUNCTIONGRAPH,
    PROJECT_ID,
    TOKEN,
    Result,
    find_python,
    launcher,
    make_path,
)
from helpers.markdown import DEPLOYING

from ddm_precheck import settings
from deploy import cli, package, variables

TOPIC = f"urn:smn:cn-north-4:{PROJECT_ID}:ddm"
ALLOW = ("--allow", f"{PROJECT_ID}/*")
# Invalid values of --env, and the name that the message contains.
BAD_ASSIGNMENTS = {
    "DDM_EXPECTED_CHECKS=0": "DDM_EXPECTED_CHECKS",
    "DDM_TOKEN_SOURCE=/token": "DDM_TOKEN_SOURCE",
    "K_SINK=https://sink.example/\n": "K_SINK (it contains a character that is not printable)",
    "DDM_REGION": "DDM_REGION",
    "DDM_REGIONS=cn-north-4": "DDM_REGIONS",
    "HTTPS_PROXY=http://proxy.example:3128": "HTTPS_PROXY (expected NAME=VALUE; --env sets only the function's own",
    "=cn-north-4": "--env",
    TOKEN: "--env",
}
WRONG_CALLS = {
    "nothing": ((), "missing command"),
    "unknown command": (("deploy",), "deploy"),
    "CloudRun": (("CloudRun",), "did you mean cloud-run"),
    "function-graph": (("function-graph",), "did you mean functiongraph"),
    "option first": (("--dry-run",), "--dry-run"),
    "unknown option": (("local", "--bogus"), "--bogus"),
    "a secret as an unknown option": (("functiongraph", f"--token={TOKEN}"), "--token"),
    "misspelt option": ((*FUNCTIONGRAPH, "--event", "--retrys", "3"), "--retrys (did you mean --retries?)"),
    "retries without --event": ((*FUNCTIONGRAPH, "--retries", "3"), "--event (--retries requires it)"),
    "destination without --event": ((*FUNCTIONGRAPH, f"--on-failure={TOPIC}"), "--event (--on-failure requires it)"),
    "4 retries": ((*FUNCTIONGRAPH, "--event", "--retries", "4"), "--retries 4 (a number from 0 to 3)"),
    "destination of another service": ((*FUNCTIONGRAPH, "--event", "--on-success", "urn:obs:a:b:c"), "--on-success"),
    "pass-through for FunctionGraph": ((*FUNCTIONGRAPH, "--", "--timeout", "9"), "unexpected argument"),
    "unexpected argument": (("local", "extra"), "extra"),
    "value of a flag": (("local", "--once=no"), "--once"),
    "no project": (("cloud-run", "--region", "europe-west1"), "--project"),
    "no region": (("cloud-run", "--project", "demo-project"), "--region"),
    "no value at the end": (("cloud-run", "--project"), "--project"),
    "empty value": ((*CLOUD_RUN, "--service", ""), "--service"),
    "an option as a value after =": ((*CLOUD_RUN, "--service=--quiet"), "--service"),
    "project with a comma": (("cloud-run", "--project", "a,b", "--region", "europe-west1"), "--project"),
    "Cloud Run region": (("cloud-run", "--project", "demo-project", "--region", "Europe"), "--region"),
    "service": ((*CLOUD_RUN, "--service", "DDM_precheck"), "--service"),
    "service account": ((*CLOUD_RUN, "--service-account", "somebody@example.com"), "--service-account"),
    "no project ID": (("functiongraph", "--region", "cn-north-4"), "--project-id"),
    "no FunctionGraph region": (("functiongraph", "--project-id", PROJECT_ID), "--region"),
    "project ID": (("functiongraph", "--project-id", "a/b", "--region", "cn-north-4"), "--project-id"),
    "name": ((*FUNCTIONGRAPH, "--name", "4ddm"), "--name"),
    "no token": (FUNCTIONGRAPH, "HUAWEICLOUD_TOKEN"),
    "secret without --allow": ((*CLOUD_RUN, "--token-secret", "token"), "--allow"),
    "--allow without a secret": ((*CLOUD_RUN, *ALLOW), "--token-secret"),
    "agency without --allow": ((*FUNCTIONGRAPH, "--dry-run", "--agency", "reader"), "--allow"),
    "name of a secret": ((*CLOUD_RUN, *ALLOW, "--token-secret", "a:b"), "--token-secret"),
    "name of an agency": ((*FUNCTIONGRAPH, "--dry-run", *ALLOW, "--agency", "a\nb"), "--agency"),
    "list without an instance": ((*CLOUD_RUN, "--token-secret", "token", "--allow", PROJECT_ID), "--allow"),
    "variables that are too long together for FunctionGraph": (
        (
            *("functiongraph", "--package-only", "--agency", "reader"),
            *("--allow", ",".join([f"{PROJECT_ID}/*"] * 60), "--env", f"K_SINK=https://sink.example/{'a' * 2500}"),
        ),
        "--agency, --allow, --env K_SINK (",
    ),
    "region twice": ((*CLOUD_RUN, "--ddm-region", "cn-1", "--env", "DDM_REGION=cn-2"), "DDM_REGION"),
    "agency as a variable for Cloud Run": (
        (*CLOUD_RUN, "--env", "DDM_TOKEN_SOURCE=agency", "--env", "DDM_ALLOWED_INSTANCES=a/b"),
        "DDM_TOKEN_SOURCE",
    ),
    "wait that is too long for Cloud Run": ((*CLOUD_RUN, "--env", "DDM_MAX_WAIT_SECONDS=3600"), "DDM_MAX_WAIT_SECONDS"),
    "every delimiter in one value": (
        (*CLOUD_RUN, "--env", "DDM_TOKEN_SOURCE=/,@;|#~", "--env", "DDM_ALLOWED_INSTANCES=a/b"),
        "--env",
    ),
    "DDM region": ((*CLOUD_RUN, "--ddm-region", "cn,A=b"), "--ddm-region"),
    "endpoint": ((*CLOUD_RUN, "--ddm-endpoint", "https://ddm.example,A=b"), "--ddm-endpoint"),
    **{f"--env {value!r}": ((*CLOUD_RUN, "--env", value), named) for value, named in BAD_ASSIGNMENTS.items()},
}
WRONG_VARIABLES = {
    "PORT in words": (("local",), {"PORT": "http"}, "PORT"),
    "PORT too high": (("local",), {"PORT": "65536"}, "PORT"),
    "token with a line break": (FUNCTIONGRAPH, {"HUAWEICLOUD_TOKEN": f"{TOKEN}\n"}, "HUAWEICLOUD_TOKEN"),
    "FunctionGraph without TLS": (
        FUNCTIONGRAPH,
        {"FUNCTIONGRAPH_ENDPOINT": "http://functiongraph.example", "HUAWEICLOUD_TOKEN": TOKEN},
        "FUNCTIONGRAPH_ENDPOINT",
    ),
}


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [*((arguments, {}, named) for arguments, named in WRONG_CALLS.values()), *WRONG_VARIABLES.values()],
    ids=[*WRONG_CALLS, *WRONG_VARIABLES],
)
def test_a_wrong_call_is_one_line(deploy_sh, gcloud, monkeypatch, arguments, environment, named):
    monkeypatch.setattr(package, "run", lambda: pytest.fail("the package is built"))
    result = deploy_sh(*arguments, **environment)
    assert (result.status, result.stdout) == (2, "")
    assert re.fullmatch(r"deploy\.sh: .+\n", result.stderr)
    assert named in result.stderr
    assert TOKEN not in result.stderr
    assert gcloud.calls == []


@pytest.mark.parametrize("command", [None, "local", "cloud-run", "functiongraph"])
def test_the_help_fits_100_columns(monkeypatch, capsys, command):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_status:
        cli.main([command, "--help"] if command else ["help"])
    assert exit_status.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"usage: ./deploy.sh {command or 'COMMAND'} ")


def test_the_table_of_the_options_is_that_of_the_parser():
    expected: dict[str, set[str]] = {}
    _, commands = cli.build_parsers()
    for command, parser in commands.items():
        for action in parser._actions:
            name = " ".join(filter(None, [action.option_strings[-1], action.metavar]))
            expected.setdefault(name, set()).add(command)
    table = {option: set(re.findall(r"[a-z-]+", names)) for option, names, _ in DEPLOYING.table("deploy options")}
    assert table == {name: {"all"} if names == set(commands) else names for name, names in expected.items()}


@pytest.mark.parametrize("name", variables.NAMES)
def test_every_variable_of_env_is_one_that_the_function_reads(name):
    with pytest.raises(settings.SettingsError, match=name):
        settings.from_environment({name: "A bad value"})


def test_a_symbolic_link_is_followed(checkout, tmp_path):
    link = tmp_path / "a link"
    link.symlink_to(checkout.root / "deploy.sh")
    before = checkout.files()
    command = [str(link), *CLOUD_RUN, "--dry-run"]
    path = make_path(tmp_path / "tools", python3=launcher(sys.executable))
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"--source '{checkout.root}'" in done.stdout
    assert checkout.files() == before


def test_a_python_that_does_not_run_is_skipped(checkout, tmp_path):
    real = find_python("3.12")
    too_old = "#!/bin/sh\necho ''\n"
    programs = {"python3": "#!/bin/sh\nexit 127\n", "python3.13": too_old, "python3.12": launcher(real)}
    path = make_path(tmp_path / "tools", **programs)
    assert checkout.run("local", "--dry-run", PATH=path).commands[0] == f"{real} -m venv --clear .venv"


def test_a_missing_python_is_one_line(checkout, tmp_path):
    result = checkout.run("local", PATH=make_path(tmp_path / "tools"))
    assert result == Result(
        1, "", "deploy.sh: Python 3.11 or newer is missing (tried python3 and python3.14 to python3.11)\n"
    )
