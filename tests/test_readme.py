"""The README agrees with the code: its event gets its response, and its tables are complete."""

import dataclasses
import json
import re

import pytest
from helpers.function import ROOT

from ddm_precheck.event import Event
from ddm_precheck.problem import ProblemCode
from ddm_precheck.settings import Settings, from_environment
from deploy.fake_ddm import FakeDDM

README = (ROOT / "README.md").read_text("utf-8")


def json_block(name: str) -> dict:
    """Return the JSON block after the comment with this name."""
    found = re.search(rf"<!-- {name} -->\n```json\n(.*?)```", README, re.DOTALL)
    return json.loads(found[1])


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table of the section, without its heading."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_response_to_the_event(start, fake_ddm: FakeDDM):
    """The event of the README gets the response of the README."""
    response = start(DDM_REGION=None).send(json_block("event")).summary
    shown = json_block("answer: fail")
    assert len(shown.pop("checks")) == 1
    assert len(response.pop("checks")) == 3
    for body in (response, shown):
        del body["checked_at"], body["upstream"]["request_id"]
    assert (list(response), response) == (list(shown), shown)


def test_event_table():
    """The table of the event's fields is complete and in the order of the JSON Schema."""
    schema = json.loads((ROOT / "schemas" / "event.schema.json").read_text())
    rows = table("The event")
    assert [row[0] for row in rows] == list(schema["properties"]) == [each.name for each in dataclasses.fields(Event)]
    assert [row[0] for row in rows if row[1] == "required"] == schema["required"]


def test_problem_table():
    """The table of problems has the code, status and retryability of each problem."""
    rows = {code: (int(status), retryable == "yes") for code, status, retryable, _ in table("The problems")}
    assert rows == {kind.value: (kind.status, kind.retryable) for kind in ProblemCode}


def test_configuration_table():
    """The table of variables has each variable that the settings read, with its default."""
    rows = {name: default for name, default, _ in table("Configuration")}
    read: list[str] = []

    class RecordingEnvironment(dict):
        def get(self, name, default=None):
            read.append(name)
            return default

    settings = from_environment(RecordingEnvironment())
    assert read == list(rows)
    assert len(read) == len(dataclasses.fields(Settings))
    assert (rows["DDM_ENDPOINT"], float(rows["DDM_TIMEOUT_SECONDS"])) == (settings.endpoint, settings.timeout)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_link(target):
    """Each file that the README links to exists."""
    assert target.startswith("https://") or (ROOT / target).exists()


@pytest.mark.parametrize("anchor", re.findall(r"\]\(#([^)]+)\)", README))
def test_anchor(anchor):
    """Each section that the README links to exists."""
    headings = re.findall(r"^##+ (.+)$", README, re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
