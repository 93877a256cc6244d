"""What tools import: the API descriptions and the sample answers are true, and the served function keeps to them."""

import json
import subprocess
import sys
import zlib

import hypothesis
import pytest
import schemathesis
from conftest import PROBLEM, ROOT, SUMMARY, Served
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ddm_precheck.problem import CATALOGUE
from deploy.fake_ddm import FakeDDM

ANSWERS = sorted((ROOT / "examples" / "answers").glob("*.json"))
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def test_files_are_as_written():
    """The files in the repository are those that tools/generate.py writes."""
    command = [sys.executable, "-m", "tools.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "all as written\n"), done.stderr


def test_one_answer_of_each_kind():
    """There is an answer for each verdict and for each problem, and no other."""
    summaries = [f"summary-{name}" for name in ("pass", "warn", "fail", "pending")]
    assert [path.stem for path in ANSWERS] == sorted(summaries + [f"problem-{code}" for code in CATALOGUE])


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_answer_is_valid(path):
    """Each sample answer is valid against its schema."""
    (SUMMARY if path.stem.startswith("summary") else PROBLEM).validate(json.loads(path.read_text()))


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_description_is_valid(version):
    """Both descriptions are valid OpenAPI and stand alone."""
    text = (ROOT / "schemas" / f"openapi-{version}.json").read_text()
    validate(json.loads(text))
    assert '"$ref": "#/' in text
    assert text.count('"$ref"') == text.count('"$ref": "#/')


class AnyBehaviour(dict):
    """The behaviours of the stand-in, each schema name one of them."""

    def get(self, name, _default=None):
        """Return the behaviour of any name."""
        return sorted(self.items())[zlib.crc32(name.encode()) % len(self)][1]


def test_fuzzer_finds_nothing(served_function: Served, fake_ddm: FakeDDM):
    """A fuzzer that reads the description finds no answer that breaks it, and no bug."""
    quick = {name: each for name, each in fake_ddm.behaviours.items() if name not in {"slow", "many", "down"}}
    fake_ddm.behaviours = AnyBehaviour(quick)
    schema = schemathesis.openapi.from_dict(json.loads((ROOT / "schemas" / "openapi-3.0.json").read_text()))
    cases = schema["/"]["POST"].as_strategy()
    statuses = set()

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @hypothesis.given(case=cases)
    def fuzz(case):
        response = case.call(base_url=served_function.url)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    fuzz()
    assert 500 not in statuses
    assert len(statuses) > 3  # it got past the event's rules
