"""A fake gcloud with one Cloud Run service: records each call, and prints the values that the scripts request."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from testing.function_server import clean_environment

NUMBER: Final = "1234567890"
URL: Final = "https://precheck.example"
EVENTARC_SUBSCRIPTION: Final = "projects/my-project/subscriptions/eventarc-europe-west1-ddm-precheck-sub-123"
_OUTPUTS: Final = {
    "value(projectNumber)": NUMBER,
    "value(status.url)": URL,
    "value(transport.pubsub.subscription)": EVENTARC_SUBSCRIPTION,
}
# Like gcloud, a deployment changes only what its flags name.
_PROGRAM: Final = """\
import json, os, re, stat, sys
calls, service_path, outputs, status = {parameters}
words = sys.argv[1:]
is_pipe = stat.S_ISFIFO(os.fstat(0).st_mode)
call = {{"words": words, "stdin": sys.stdin.read() if is_pipe and "--data-file=-" in words else ""}}
call["has_token"] = "HUAWEICLOUD_TOKEN" in os.environ
with open(calls, "a") as file:
    file.write(json.dumps(call) + "\\n")
service = json.load(open(service_path)) if os.path.exists(service_path) else None
if words[:3] == ["run", "services", "describe"] and "json" in words:
    if service is None:
        sys.exit(f"ERROR: (gcloud.run.services.describe) Cannot find service [{{words[3]}}]")
    env = [{{"name": name, "value": value}} for name, value in service["variables"].items()]
    spec = {{"timeoutSeconds": service["settings"]["--timeout"], "containers": [{{"env": env}}]}}
    print(json.dumps({{"spec": {{"template": {{"spec": spec}}}}}}))
    sys.exit()
if words[:2] == ["run", "deploy"] and not status:
    service = service or {{"settings": {{"--timeout": 300}}, "variables": {{}}}}
    for name, value in zip(words, words[1:]):
        if name == "--timeout":
            service["settings"][name] = int(value.rstrip("s"))
        elif name == "--update-env-vars":
            separator, text = (value[1], value[3:]) if value.startswith("^") else (",", value)
            service["variables"].update(each.split("=", 1) for each in text.split(separator))
        elif name.startswith("--") and not value.startswith("--"):
            service["settings"][name] = value
    with open(service_path, "w") as file:
        json.dump(service, file)
print("".join(output for name, output in outputs.items() if name in words))
sys.exit(status)
"""


@dataclass(frozen=True)
class Call:
    """One call of gcloud. ``has_token`` is whether HUAWEICLOUD_TOKEN was in its environment."""

    words: list[str]
    stdin: str
    has_token: bool

    def options(self, number_of_words: int) -> dict[str, str]:
        """Return the options after the words of the command, by name. The value of a flag is empty."""
        options: dict[str, str] = {}
        for word in self.words[number_of_words:]:
            if word.startswith("--"):
                name = word
                options[name] = ""
            else:
                options[name] = word
        return options


class FakeGcloud:
    """The fake gcloud in a folder, which has to be on PATH. ``status`` is the exit status of other commands."""

    def __init__(self, folder: Path, status: int = 0) -> None:
        self._calls, self._service = folder / "gcloud-calls", folder / "gcloud-service.json"
        parameters = (str(self._calls), str(self._service), _OUTPUTS, status)
        program, launcher = folder / "gcloud-program.py", folder / "gcloud"
        program.write_text(_PROGRAM.format(parameters=repr(parameters)))
        launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S {shlex.quote(str(program))} "$@"\n')
        launcher.chmod(0o755)

    @property
    def calls(self) -> list[Call]:
        """The calls in their order."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [Call(**json.loads(line)) for line in lines]

    @property
    def service(self) -> dict[str, Any]:
        """The flags and the variables of the deployed service."""
        service: dict[str, Any] = json.loads(self._service.read_text())
        return service

    @service.setter
    def service(self, service: dict[str, Any]) -> None:
        self._service.write_text(json.dumps(service))


def run_script(script: Path, folder: Path, stdin: str = "", **variables: str) -> list[Call]:
    """Run a script with the fake gcloud on PATH, and return the calls of gcloud.

    Raises AssertionError if the exit status is not 0, or if the script prints its stdin.
    """
    gcloud = FakeGcloud(folder)
    environment = clean_environment() | variables | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [script], input=stdin, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not stdin or stdin.strip() not in done.stdout + done.stderr
    return gcloud.calls


def find_call(calls: list[Call], *words: str) -> dict[str, str]:
    """Return the options of the only call of this command."""
    (call,) = (call for call in calls if call.words[: len(words)] == list(words))
    return call.options(len(words))


def lint(commands: Iterable[str], folder: Path) -> None:
    """Fail unless Google's offline linter accepts each gcloud command. Skip the test if gcloud is missing."""
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is missing")
    file, all_commands = folder / "commands", sorted(set(commands))
    file.write_text(json.dumps([{"command_string": command} for command in all_commands]))
    program = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    environment = clean_environment() | {"CLOUDSDK_CONFIG": str(folder / "config")}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120, check=True)
    outcomes = [(result["success"], result["error_message"]) for result in json.loads(done.stdout)]
    assert outcomes == [(True, None)] * len(all_commands), all_commands
