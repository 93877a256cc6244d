"""JSON Schemas as the function loads them."""

import pytest
from jsonschema.exceptions import SchemaError

from ddm_precheck import schema
from ddm_precheck.schema import Schema, Violation


def test_violations():
    """A violation has the pointer of the value and the broken rule."""
    assert Schema("precheck-result").violations([]) == (Violation("", "must be of type object"),)
    assert Schema("precheck-result").violations({"job_id": "j", "pre_check_results": []}) == ()


def test_deep_value():
    """If an invalid value is nested too deeply for jsonschema, this is the only violation."""
    name: list = []
    for _ in range(200_000):
        name = [name]
    document = {"job_id": "j", "pre_check_results": [{"name": name, "status": "SUCCESS"}]}
    assert Schema("precheck-result").violations(document) == (Violation("", "is nested too deeply"),)


def test_invalid_schema(tmp_path, monkeypatch):
    """An invalid JSON Schema raises an exception when it is loaded, at the start of the function."""
    monkeypatch.setattr(schema, "_FOLDER", tmp_path)
    (tmp_path / "broken.schema.json").write_text('{"type": "text"}')
    with pytest.raises(SchemaError):
        Schema("broken")
