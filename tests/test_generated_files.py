"""The generated files: they are up to date and valid, and the served function behaves as they describe."""

import json
import re
import tomllib
import zlib

import hypothesis
import pytest
import schemathesis
from helpers.function import json_schema_validator
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from testing.fake_ddm import FakeDDM
from testing.function_server import ROOT, serve
from tools import generate

SAMPLES = ROOT / "examples" / "responses"
DESCRIPTIONS = {name: json.loads((ROOT / "schemas" / f"openapi-{name}.json").read_text()) for name in ("2.0", "3.0")}
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def test_files_are_up_to_date():
    generated = generate._generate()
    assert {path: path.read_text("utf-8") for path in generated} == generated
    assert set(SAMPLES.iterdir()) <= generated.keys()


def test_samples_are_valid():
    for path in SAMPLES.iterdir():
        json_schema_validator(path.name.partition("-")[0]).validate(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("version", DESCRIPTIONS)
def test_description_is_valid(version):
    validate(DESCRIPTIONS[version])


def test_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(r"^## \[([0-9][^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [released[0], *(each["info"]["version"] for each in DESCRIPTIONS.values())] == [version] * 3


class _AnyBehaviour(dict):
    """Maps each name of a database schema to one of the behaviours."""

    def get(self, name, _default=None):
        return sorted(self.items())[zlib.crc32(name.encode()) % len(self)][1]


def test_served_function_conforms_to_its_description(fake_ddm: FakeDDM, tmp_path):
    quick = {name: each for name, each in fake_ddm.behaviours.items() if name not in {"slow", "many", "down"}}
    fake_ddm.behaviours = _AnyBehaviour(quick)
    cases = schemathesis.openapi.from_dict(DESCRIPTIONS["3.0"])["/"]["POST"].as_strategy()
    statuses = set()

    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @hypothesis.given(case=cases)
    def fuzz(case):
        response = case.call(base_url=function.url)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    variables = {"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4", "DDM_MAX_WAIT_SECONDS": "0"}
    with serve(variables, tmp_path / "log") as function:
        fuzz()
    assert 500 not in statuses
    assert len(statuses) > 3  # some of the cases are valid events
