"""JSON Schemas: the predicate accepts only what jsonschema accepts, and violations say what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from helpers import tool_cache
from helpers.function import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ddm_precheck.problem import Violation
from ddm_precheck.schema import Schema, predicate

SCHEMAS = {path.name.split(".")[0]: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.schema.json")}
OWN = ["event", "precheck-result"]
"""The JSON Schemas that the function validates with."""

SUITE_FILES = [
    *("pattern", "properties", "items", "type", "enum", "required", "minLength", "maxLength", "minimum", "maximum"),
    *("maxItems", "additionalProperties", "boolean_schema", "default", "infinite-loop-detection", "prefixItems"),
    *("unevaluatedItems", "unevaluatedProperties", "ref", "contains", "minItems", "uniqueItems"),
]
"""The keywords that the predicate supports, and keywords that can interfere with them."""


def assert_not_lenient(schema: Any, value: Any) -> None:
    assert not predicate(schema)(value) or Draft202012Validator(schema).is_valid(value)


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases of the JSON-Schema-Test-Suite for draft 2020-12, from jsonschema's source distribution."""
    requirement = f"jsonschema=={version('jsonschema')}"
    cached = tool_cache.FOLDER / requirement
    if not cached.exists():
        # pip unpacks the distribution and then fails, because the build backend is missing. A build takes a minute.
        folder = tmp_path_factory.mktemp("suite")
        arguments = ["--no-deps", "--no-binary=:all:", "--no-build-isolation", "--no-clean", f"--dest={folder}"]
        command = [sys.executable, "-m", "pip", "download", *arguments, requirement]
        subprocess.run(command, env=os.environ | {"TMPDIR": str(folder)}, check=False, capture_output=True)
        found = next(folder.glob("*/*/json/tests/draft2020-12"), None)
        if found is None:
            pytest.skip(f"pip cannot download the source distribution of {requirement}")
        tool_cache.FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.move(found, cached)  # not Path.rename: the file systems may differ
    return cached


@pytest.mark.parametrize("name", SUITE_FILES)
def test_predicate_accepts_no_invalid_value_of_the_official_cases(suite: Path, name: str):
    accepted = [
        (case["description"], test["description"])
        for case in json.loads((suite / f"{name}.json").read_text())
        for test in case["tests"]
        if not test["valid"] and predicate(case["schema"])(test["data"])
    ]
    assert accepted == []


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "string"}, "a", 1),
        ({"type": "integer"}, 1, True),
        ({"type": ["string", "null"]}, None, 0),
        ({"type": "boolean"}, False, 0),
        ({"type": "object"}, {}, []),
        ({"type": "array"}, [], {}),
        ({"enum": ["a", None]}, None, "b"),
        ({"enum": [None, "", [], {}]}, "", 0),
        ({"pattern": "^b"}, "b", "ab"),
        ({"pattern": "^a$"}, "a", "a\n"),
        ({"pattern": r"^a\$"}, "a$", "a"),
        ({"pattern": r"\S"}, "a", " "),
        ({"minLength": 1}, "a", ""),
        ({"maxLength": 1}, "a", "ab"),
        ({"minimum": 1}, 1, 0.5),
        ({"maximum": 1}, 1, 1.5),
        ({"maxItems": 1}, ["a"], ["a", "b"]),
        ({"items": {"type": "string"}}, ["a"], ["a", 1]),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1}, {"b": 1}),
        ({"required": ["a"]}, {"a": 1}, {"b": 1}),
        ({"properties": {"a": {"type": "string"}}}, {"a": "b", "c": 1}, {"a": 1}),
        ({"properties": {"a": {"type": "string"}}}, {"c": 1}, {"a": None}),
        ({"title": "A text", "type": "string", "minLength": 1, "examples": ["a"]}, "a", ""),
    ],
    ids=lambda value: json.dumps(value)[:40].replace("\\", ""),
)
def test_predicate_of_each_keyword(schema, valid, invalid):
    """The predicate accepts a valid value, so that jsonschema is not needed, at each depth."""
    nested = {"properties": {"x": schema}}, {"items": schema}
    for root, valid_value, invalid_value in (
        (schema, valid, invalid),
        (nested[0], {"x": valid}, {"x": invalid}),
        (nested[1], [valid, valid], [valid, invalid]),
    ):
        assert predicate(root)(valid_value)
        assert not predicate(root)(invalid_value)


@pytest.mark.parametrize(
    "schema",
    [True, False, {"not": {}}, {"x-unknown": 1}, {"type": "text"}, {"type": "number"}],
    ids=json.dumps,
)
def test_predicate_of_an_unsupported_schema_accepts_nothing(schema):
    for value in (1, "a", ["a"], {}):
        assert not predicate(schema)(value)
        assert not predicate({"properties": {"a": schema}})({"a": value})
        assert not predicate({"items": schema})([value])


NAMES = st.sampled_from(["a", "b", "c"])
# A few small values, so that equal values are frequent. None has a line break, because jsonschema's ``$`` also matches
# before a trailing line break.
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 0.5, -1, 2**70, "", "a", "b", "ab", "ä", "abc", "1"])
INSTANCES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
LENGTHS = st.sampled_from([0, 1, 2, 2.0])


@st.composite
def some_of(draw: st.DrawFn, keywords: dict[str, st.SearchStrategy[Any]]) -> Any:
    """Draw a JSON Schema with at most three of the keywords: hardly any value is valid for many keywords."""
    names = draw(st.lists(st.sampled_from(list(keywords)), max_size=3, unique=True))
    return {name: draw(keywords[name]) for name in names}


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    supported = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(INSTANCES, max_size=3),
        "pattern": st.sampled_from(["a", "^a", "^[a-z]+$", "^$", r"\S"]),
        "minLength": LENGTHS,
        "maxLength": LENGTHS,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "minimum": st.sampled_from([0, 0.5, 1]),
        "maximum": st.sampled_from([0, 0.5, 1]),
        "maxItems": LENGTHS,
        "additionalProperties": inner | st.just(False),  # noqa: FBT003 - a value, not an argument
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "items": inner,
        "title": st.just("Title"),
    }
    others = {"anyOf": st.lists(inner, min_size=1, max_size=2), "const": INSTANCES, "not": inner, "minItems": LENGTHS}
    # One keyword that is not supported disables the predicate, so most schemas have none.
    return st.booleans() | some_of(supported) | some_of(supported) | some_of(supported | others)


@settings(max_examples=int(os.environ.get("EXAMPLES", "300")))
@given(schema=schemas(schemas(schemas(st.booleans()))), instances=st.lists(INSTANCES, min_size=4, max_size=4))
def test_predicate_is_never_more_lenient_than_jsonschema(schema: Any, instances: list[Any]):
    for instance in instances:
        assert_not_lenient(schema, instance)
        assert_not_lenient(schema, {"a": instance})
        assert_not_lenient(schema, [instance, instance])


def example(schema: Any) -> Any:
    """Return a value made of the examples of the JSON Schema."""
    return {name: subschema["examples"][0] for name, subschema in schema["properties"].items()}


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """Draw the value with one part, at any depth, replaced, removed or added."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(INSTANCES)
    copy = value.copy()
    key = draw(st.sampled_from(range(len(copy)) if isinstance(copy, list) else list(copy)))
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "remove":
            del copy[key]
        case "add" if isinstance(copy, dict):
            copy[draw(NAMES)] = draw(INSTANCES)
        case _:
            copy[key] = draw(mutated(copy[key]))
    return copy


@pytest.mark.parametrize("name", OWN)
@given(data=st.data())
def test_violations_agree_with_jsonschema_for_changed_examples(name: str, data: st.DataObject):
    value = data.draw(mutated(data.draw(mutated(example(SCHEMAS[name])))))
    assert_not_lenient(SCHEMAS[name], value)
    assert bool(Schema(name).violations(value)) != Draft202012Validator(SCHEMAS[name]).is_valid(value)


@pytest.mark.parametrize("name", OWN)
def test_predicate_accepts_the_examples(name: str):
    assert predicate(SCHEMAS[name])(example(SCHEMAS[name]))


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_file_is_a_json_schema(name: str):
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_the_event_s_checks_have_the_schema_of_ddm_s_checks():
    """The list of the event can be empty, null and the empty string, which count as absent; DDM's can be null."""

    def rules(schema: Any) -> Any:
        if isinstance(schema, dict):
            return {name: rules(value) for name, value in schema.items() if name not in {"description", "examples"}}
        return schema

    events, ddms = (SCHEMAS[name]["properties"]["pre_check_results"] for name in OWN)
    assert rules(events["items"]) == rules(ddms["items"])
    assert events["maxItems"] == ddms["maxItems"] == 1000


def test_violations():
    result = {"job_id": "j", "pre_check_results": []}
    assert Schema("precheck-result").violations(result) == ()
    assert Schema("precheck-result").violations([]) == (Violation("", "must be an object"),)
    deep: list = []
    for _ in range(200_000):
        deep = [deep]
    result["pre_check_results"] = [{"name": deep, "status": "SUCCESS"}]
    assert Schema("precheck-result").violations(result) == (Violation("", "is nested too deeply"),)
    while deep:  # without this, Python frees the nested lists recursively
        deep = deep.pop()


def test_items_of_a_list_that_is_too_long_are_not_validated():
    result = {"job_id": "j", "pre_check_results": [{}] * 100_000}
    (violation,) = Schema("precheck-result").violations(result)
    assert violation == Violation("/pre_check_results", "must have at most 1000 items")
