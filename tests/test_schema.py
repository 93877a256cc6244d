"""The schemas as the function loads them."""

import pytest
from jsonschema.exceptions import SchemaError

from ddm_precheck import schema
from ddm_precheck.schema import Schema, Violation


def test_loaded():
    """A schema tells what breaks it and where."""
    assert Schema("precheck-result").violations([]) == (Violation("", "must be of type object"),)
    assert Schema("precheck-result").violations({"job_id": "j", "pre_check_results": []}) == ()


def test_too_deep_to_be_told():
    """A value that is wrong and too deep for jsonschema to quote it is told as such."""
    name: list = []
    for _ in range(200_000):
        name = [name]
    document = {"job_id": "j", "pre_check_results": [{"name": name, "status": "SUCCESS"}]}
    assert Schema("precheck-result").violations(document) == (Violation("", "is nested too deeply"),)


def test_broken_schema(tmp_path, monkeypatch):
    """A schema that is none fails when it is loaded, which is at the start."""
    monkeypatch.setattr(schema, "_FOLDER", tmp_path)
    (tmp_path / "broken.schema.json").write_text('{"type": "text"}')
    with pytest.raises(SchemaError):
        Schema("broken")
