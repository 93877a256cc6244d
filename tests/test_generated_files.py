"""The generated files: the OpenAPI descriptions and the example responses. The served function conforms to them."""

import json
import subprocess
import sys
import zlib

import hypothesis
import pytest
import schemathesis
from helpers.function import PROBLEM_VALIDATOR, ROOT, SUMMARY_VALIDATOR, ServedFunction
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ddm_precheck.problem import CATALOGUE
from deploy.fake_ddm import FakeDDM

EXAMPLE_RESPONSES = sorted((ROOT / "examples" / "answers").glob("*.json"))
CONFORMANCE_CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def test_files_are_up_to_date():
    """The files in the repository are those that tools/generate.py writes."""
    command = [sys.executable, "-m", "tools.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "all as written\n"), done.stderr


def test_examples_are_complete():
    """There is one example for each verdict and for each problem."""
    summaries = [f"summary-{name}" for name in ("pass", "warn", "fail", "pending")]
    assert [path.stem for path in EXAMPLE_RESPONSES] == sorted(summaries + [f"problem-{code}" for code in CATALOGUE])


@pytest.mark.parametrize("path", EXAMPLE_RESPONSES, ids=lambda path: path.stem)
def test_example_is_valid(path):
    """Each example is valid against its JSON Schema."""
    (SUMMARY_VALIDATOR if path.stem.startswith("summary") else PROBLEM_VALIDATOR).validate(json.loads(path.read_text()))


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_description_is_valid(version):
    """Both descriptions are valid OpenAPI and refer to no other file."""
    text = (ROOT / "schemas" / f"openapi-{version}.json").read_text()
    validate(json.loads(text))
    assert '"$ref": "#/' in text
    assert text.count('"$ref"') == text.count('"$ref": "#/')


class BehaviourOfEachName(dict):
    """The behaviours of the fake DDM, with one for each name of a database schema."""

    def get(self, name, _default=None):
        """Return the same behaviour each time for a name."""
        return sorted(self.items())[zlib.crc32(name.encode()) % len(self)][1]


def test_fuzzer(served_function: ServedFunction, fake_ddm: FakeDDM):
    """For the requests that a fuzzer derives from the description, each response conforms to it; none is a 500."""
    quick = {name: each for name, each in fake_ddm.behaviours.items() if name not in {"slow", "many", "down"}}
    fake_ddm.behaviours = BehaviourOfEachName(quick)
    schema = schemathesis.openapi.from_dict(json.loads((ROOT / "schemas" / "openapi-3.0.json").read_text()))
    cases = schema["/"]["POST"].as_strategy()
    statuses = set()

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @hypothesis.given(case=cases)
    def fuzz(case):
        response = case.call(base_url=served_function.url)
        case.validate_response(response, checks=CONFORMANCE_CHECKS)
        statuses.add(response.status_code)

    fuzz()
    assert 500 not in statuses
    assert len(statuses) > 3  # some of the events are valid
