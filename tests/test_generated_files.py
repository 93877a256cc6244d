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
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ddm_precheck.problem import ProblemCode
from testing.fake_ddm import FakeDDM
from testing.function_server import ROOT, serve
from tools import generate, openapi

SAMPLES = {path.stem: json.loads(path.read_text()) for path in (ROOT / "examples" / "responses").glob("*.json")}
DESCRIPTIONS = {name: json.loads((ROOT / "schemas" / f"openapi-{name}.json").read_text()) for name in ("2.0", "3.0")}
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def test_files_are_up_to_date():
    command = [sys.executable, "-m", "tools.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_names_outdated_files(monkeypatch, capsys, tmp_path):
    files = {tmp_path / "equal": "a\n", tmp_path / "different": "b\n", tmp_path / "missing": "c\n"}
    (tmp_path / "equal").write_text("a\n")
    (tmp_path / "different").write_text("a\n")
    monkeypatch.setattr(generate, "_ROOT", tmp_path)
    monkeypatch.setattr(generate, "_generate", lambda: files)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["generate", *arguments])
        return generate.main(), [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()]

    assert run("--check") == (1, ["different is out of date", "missing is out of date"])
    assert run() == (0, ["wrote different", "wrote missing"])
    assert run("--check") == (0, [])


def test_one_sample_for_each_kind_of_response():
    summaries = {f"summary-{name}" for name in ("pass", "warn", "fail", "pending")}
    assert SAMPLES.keys() == summaries | {f"problem-{code.value}" for code in ProblemCode}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_sample_is_valid(name):
    schema = json.loads((ROOT / "schemas" / f"{name.partition('-')[0]}.schema.json").read_text())
    Draft202012Validator(schema).validate(SAMPLES[name])


@pytest.mark.parametrize("version", DESCRIPTIONS)
def test_description_is_valid(version):
    validate(DESCRIPTIONS[version])
    references = re.findall(r'"\$ref": "(.)', json.dumps(DESCRIPTIONS[version]))
    assert set(references) == {"#"}


def test_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(r"^## \[([0-9][^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [released[0], *(each["info"]["version"] for each in DESCRIPTIONS.values())] == [version] * 3


def test_nullable_fields_in_both_versions():
    field = {"type": ["integer", "null"], "minimum": 1, "examples": [None, 3]}
    assert openapi._convert(field) == {"type": "integer", "nullable": True, "minimum": 1, "example": 3}
    assert DESCRIPTIONS["3.0"]["components"]["schemas"]["Summary"]["properties"]["region"]["nullable"]
    assert DESCRIPTIONS["2.0"]["definitions"]["Summary"]["properties"]["region"]["x-nullable"]


def test_unknown_keyword_stops_the_generation():
    with pytest.raises(ValueError, match="patternProperties"):
        openapi._convert({"type": "object", "patternProperties": {}})


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
