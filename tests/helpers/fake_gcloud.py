"""A fake gcloud: records the arguments and the stdin of each call, and prints the values that the scripts request."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testing.function_server import clean_environment

NUMBER: Final = "1234567890"
URL: Final = "https://precheck.example"
EVENTARC_SUBSCRIPTION: Final = "projects/my-project/subscriptions/eventarc-europe-west1-ddm-precheck-sub-123"
_PROGRAM: Final = f"""#!/usr/bin/env python3
import json, os, stat, sys
words = sys.argv[1:]
is_pipe = stat.S_ISFIFO(os.fstat(0).st_mode)
call = {{"words": words, "stdin": sys.stdin.read() if is_pipe and "--data-file=-" in words else ""}}
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps(call) + "\\n")
outputs = {{
    "value(projectNumber)": "{NUMBER}",
    "value(status.url)": "{URL}",
    "value(transport.pubsub.subscription)": "{EVENTARC_SUBSCRIPTION}",
}}
print("".join(output for name, output in outputs.items() if name in words))
"""


@dataclass(frozen=True)
class Call:
    """One call of gcloud."""

    words: list[str]
    stdin: str

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


def run_script(script: Path, folder: Path, stdin: str = "", **variables: str) -> list[Call]:
    """Run a script with the fake gcloud on PATH, and return the calls of gcloud.

    Fails if the exit status is not 0, or if the script prints its stdin.
    """
    program, record = folder / "gcloud", folder / "record"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    environment = clean_environment() | variables | {"RECORD": str(record), "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        [script], input=stdin, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not stdin or stdin.strip() not in done.stdout + done.stderr
    return [Call(**json.loads(line)) for line in record.read_text().splitlines()]


def find_call(calls: list[Call], *words: str) -> dict[str, str]:
    """Return the options of the only call of this command."""
    (call,) = (call for call in calls if call.words[: len(words)] == list(words))
    return call.options(len(words))
