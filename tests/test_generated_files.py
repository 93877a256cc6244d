"""The generated files: they are up to date and valid, and the served function behaves as they describe."""

import json
import re
import subprocess
import sys
import tomllib
import zlib

import hypothesis
import pytest
import schemathesis
from helpers.function import PROBLEM_VALIDATOR, ROOT, SUMMARY_VALIDATOR, serve_function
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ddm_precheck.problem import ProblemCode
from testing.fake_ddm import FakeDDM
from tools import generate, openapi

SAMPLES = sorted((ROOT / "examples" / "responses").glob("*.json"))
DESCRIPTIONS = {name: json.loads((ROOT / "schemas" / f"openapi-{name}.json").read_text()) for name in ("2.0", "3.0")}
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def test_files_are_up_to_date():
    """The files in the repository are the files that tools/generate.py writes."""
    command = [sys.executable, "-m", "tools.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_check_names_outdated_files(monkeypatch, capsys, tmp_path):
    """With --check, different and missing files are named, and the exit status is 1. Without it, they are written."""
    files = {tmp_path / "equal": "a\n", tmp_path / "different": "b\n", tmp_path / "missing": "c\n"}
    (tmp_path / "equal").write_text("a\n")
    (tmp_path / "different").write_text("a\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "generate", lambda: files)
    results = []
    for arguments in (["--check"], [], ["--check"]):
        monkeypatch.setattr(sys, "argv", ["generate", *arguments])
        results.append((generate.main(), [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()]))
    assert results == [
        (1, ["different is out of date", "missing is out of date"]),
        (0, ["wrote different", "wrote missing"]),
        (0, []),
    ]


def test_one_sample_for_each_kind_of_response():
    """There is one sample response for each verdict and for each problem code, and no other."""
    summaries = [f"summary-{name}" for name in ("pass", "warn", "fail", "pending")]
    assert [path.stem for path in SAMPLES] == sorted(summaries + [f"problem-{code.value}" for code in ProblemCode])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_valid(path):
    """Each sample response is valid against its JSON Schema."""
    (SUMMARY_VALIDATOR if path.stem.startswith("summary") else PROBLEM_VALIDATOR).validate(json.loads(path.read_text()))


@pytest.mark.parametrize("version", DESCRIPTIONS)
def test_description_is_valid(version):
    """Both descriptions are valid OpenAPI and refer to no other document."""
    validate(DESCRIPTIONS[version])
    references = re.findall(r'"\$ref": "(.)', json.dumps(DESCRIPTIONS[version]))
    assert references
    assert set(references) == {"#"}


def test_one_version():
    """The descriptions and the newest released section of the changelog name the version of pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(r"^## \[([0-9][^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [released[0], *(each["info"]["version"] for each in DESCRIPTIONS.values())] == [version] * 3


@pytest.mark.parametrize(
    ("schema", "converted"),
    [
        (
            {"type": ["integer", "null"], "minimum": 1, "maximum": 9, "examples": [None, 3]},
            {"type": "integer", "x-nullable": True, "minimum": 1, "maximum": 9, "example": 3},
        ),
        ({"type": ["string", "null"], "examples": [None]}, {"type": "string", "x-nullable": True}),
        ({"const": False}, {"type": "boolean", "enum": [False]}),
        ({"enum": ["PASS", "FAIL"]}, {"type": "string", "enum": ["PASS", "FAIL"]}),
        (
            {"type": "array", "uniqueItems": True, "maxItems": 2, "items": {"type": "string", "maxLength": 1}},
            {"type": "array", "uniqueItems": True, "maxItems": 2, "items": {"type": "string", "maxLength": 1}},
        ),
        (
            {"$id": "urn:x", "type": "object", "properties": {"a": {"$ref": "#/$defs/check"}}},
            {"type": "object", "properties": {"a": {"$ref": "#/definitions/Check"}}},
        ),
    ],
    ids=["nullable", "null example", "const", "enum", "array", "reference"],
)
def test_json_schema_becomes_openapi_schema(schema, converted):
    """A JSON Schema is converted to the keywords that OpenAPI has."""
    assert openapi._convert(schema, "#/definitions/", "x-nullable") == converted


def test_unknown_keyword_stops_the_generation():
    """A keyword that OpenAPI does not have stops the generation, so that the description omits no rule."""
    with pytest.raises(ValueError, match="patternProperties"):
        openapi._convert({"type": "object", "patternProperties": {}}, "", "")


class _AnyBehaviour(dict):
    """Maps each name of a database schema to one of the behaviours."""

    def get(self, name, _default=None):
        """Return the behaviour for any name."""
        return sorted(self.items())[zlib.crc32(name.encode()) % len(self)][1]


def test_fuzzer_finds_no_deviation(fake_ddm: FakeDDM, tmp_path):
    """A fuzzer that reads the OpenAPI description finds no response that deviates from it, and no status 500."""
    quick = {name: each for name, each in fake_ddm.behaviours.items() if name not in {"slow", "many", "down"}}
    fake_ddm.behaviours = _AnyBehaviour(quick)
    cases = schemathesis.openapi.from_dict(DESCRIPTIONS["3.0"])["/"]["POST"].as_strategy()
    statuses = set()

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @hypothesis.given(case=cases)
    def fuzz(case):
        response = case.call(base_url=function.url)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    variables = {"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4", "DDM_MAX_WAIT_SECONDS": "0"}
    with serve_function(variables, tmp_path) as function:
        fuzz()
    assert 500 not in statuses
    assert len(statuses) > 3  # some of the cases are valid events
