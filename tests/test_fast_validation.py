"""The predicate accepts only valid values: for official cases, generated cases and the function's JSON Schemas."""

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

from ddm_precheck.fast_validation import compile_schema, is_fully_supported
from ddm_precheck.patterns import compile_pattern
from ddm_precheck.schema import _Node

SCHEMAS = {path.name: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.schema.json")}
COMPILED_SCHEMAS = ["event.schema.json", "precheck-result.schema.json"]

# The keywords that the predicate supports, and keywords that can interfere with them.
SUITE_FILES = [
    *("pattern", "properties", "items", "type", "enum", "required", "minLength", "maxLength", "minItems", "maxItems"),
    *("minimum", "maximum", "uniqueItems", "additionalProperties", "boolean_schema", "default"),
    *("infinite-loop-detection", "prefixItems", "unevaluatedItems", "unevaluatedProperties", "ref", "contains"),
]


def errors_of_jsonschema(schema: Any, value: Any) -> set[tuple[Any, ...]]:
    """Return the path and the keyword of each error that jsonschema finds."""
    errors = Draft202012Validator(schema).iter_errors(value)
    return {(tuple(error.absolute_path), error.validator) for error in errors}


def assert_agrees(schema: Any, value: Any) -> None:
    """Compare the predicate and the errors of a node with jsonschema.

    The predicate never accepts an invalid value. Each error of a node is an error of jsonschema. If jsonschema finds
    errors, the node finds at least one of them. The node skips the items of a list that is too long.
    """
    expected = errors_of_jsonschema(schema, value)
    assert not (expected and compile_schema(schema)(value))
    found = {((*path, *error.absolute_path), error.validator) for path, error in _Node(schema).errors(value, ())}
    assert found <= expected
    assert bool(found) == bool(expected)


# The official cases


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


def wrong_cases(path: Path) -> list[tuple[str, str]]:
    """Return the names of the file's tests in which the predicate accepts an invalid value."""
    return [
        (case["description"], test["description"])
        for case in json.loads(path.read_text())
        for test in case["tests"]
        if not test["valid"] and compile_schema(case["schema"])(test["data"])
    ]


@pytest.mark.parametrize("name", SUITE_FILES)
def test_suite(suite: Path, name: str):
    """The predicate accepts no value that the official cases of a keyword call invalid."""
    assert wrong_cases(suite / f"{name}.json") == []


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        pytest.param("^a$", "a", True, id="end"),
        pytest.param("^a$", "a\n", False, id="newline-before-end"),
        pytest.param("^(a$|b)", "a\n", False, id="inner-dollar"),
        pytest.param(r"^a\$", "a$", True, id="escaped-dollar"),
        pytest.param(r"^a\$", "a", False, id="escaped-dollar-is-no-end"),
        pytest.param(r"^a\\$", "a\\", True, id="escaped-backslash-before-end"),
        pytest.param(r"^a\\$", "a\\\n", False, id="escaped-backslash-before-end-and-newline"),
        pytest.param("^a[$b]", "a$", True, id="dollar-in-class"),
        pytest.param(r"^a[^\]$]", "a$", False, id="dollar-in-negated-class"),
        pytest.param("^a[]$]", "a$", True, id="dollar-in-class-with-bracket"),
    ],
)
def test_dollar(pattern: str, text: str, matches: bool):  # noqa: FBT001 - columns of the table
    """``$`` is the end of the text, unless it is escaped or in a character class."""
    assert (compile_pattern(pattern).search(text) is not None) == matches
    assert compile_schema({"pattern": pattern})(text) == matches
    assert [error.validator for _, error in _Node({"pattern": pattern}).errors(text, ())] == ["pattern"] * (not matches)


@pytest.mark.parametrize("value", [1, 1.0, True, "1", [1], {"a": 1}, None], ids=json.dumps)
@pytest.mark.parametrize("member", [1, 1.0, True, "1", [1], {"a": 1}, "None"], ids=json.dumps)
def test_enum(member: Any, value: Any):
    """The predicate distinguishes values that are equal in Python, but not for jsonschema, such as 1 and True."""
    assert_agrees({"properties": {"x": {"enum": [member, "a"]}}}, {"x": value})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "a"),
        ({"type": ["string", "null"]}, None),
        ({"enum": ["a", "b"]}, "b"),
        ({"pattern": "^b"}, "b"),
        ({"minLength": 1}, "a"),
        ({"maxLength": 1}, "a"),
        ({"minimum": 1}, 1),
        ({"maximum": 1}, 1),
        ({"minItems": 1}, ["a"]),
        ({"maxItems": 1}, ["a"]),
        ({"uniqueItems": True}, ["a", "b"]),
        ({"uniqueItems": False}, ["a", "a"]),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1}),
        ({"enum": [None, "", [], {}]}, None),
        ({"required": ["a"]}, {"a": 1}),
        ({"properties": {"a": {"type": "string"}}}, {"a": "b", "c": 1}),
        ({"title": "A text", "type": "string", "minLength": 1, "examples": ["a"]}, "a"),
    ],
    ids=[
        *("type", "types", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"),
        *("uniqueItems", "uniqueItems: false", "additionalProperties", "enum with null", "required", "properties"),
        "annotations",
    ],
)
def test_valid_values_are_accepted(schema, value):
    """The predicate accepts a valid value, so that jsonschema is not needed."""
    assert compile_schema({"properties": {"x": schema}})({"x": value})
    assert compile_schema({"items": schema})([value, value])


@pytest.mark.parametrize("value", [7, True, 1.5, ["a"], {"b": 1}, "b", None], ids=json.dumps)
def test_values_at_each_depth(value):
    """At each depth, the errors are the same as in jsonschema."""
    inner = {"properties": {"a": {"type": ["string", "null"]}, "b": {"type": "array"}}}
    for schema in (inner, {"type": "object"} | inner, {"properties": {"x": inner}}, {"items": inner}):
        for instance in (value, {"a": value}, {"x": {"a": value}}, [{"b": value}, {"a": value}]):
            assert_agrees({"properties": {"y": schema}, "items": schema}, {"y": instance})
            assert_agrees({"properties": {"y": schema}, "items": schema}, [instance])


# Generated cases

NAMES = st.sampled_from(["a", "b", "c"])
# A few small values, so that equal values are frequent. None has a line break, because jsonschema's ``$`` also matches
# before a trailing line break.
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 0.5, -1, 2**70, "", "a", "b", "ab", "ä", "abc", "1"])
INSTANCES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
LENGTHS = st.sampled_from([0, 1, 2, 2.0])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return JSON Schemas of the keywords that fast_validation compiles, and of others."""
    compiled = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(INSTANCES, max_size=3),
        "pattern": st.sampled_from(["a", "^a", "^[a-z]+$", "^$", r"\S"]),
        "minLength": LENGTHS,
        "maxLength": LENGTHS,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "minimum": st.sampled_from([0, 0.5, 1]),
        "maximum": st.sampled_from([0, 0.5, 1]),
        "minItems": LENGTHS,
        "maxItems": LENGTHS,
        "uniqueItems": st.booleans(),
        "additionalProperties": inner | st.just(False),  # noqa: FBT003 - a value, not an argument
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "items": inner,
        "title": st.just("Title"),
        "default": INSTANCES,
    }
    others = {
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "const": INSTANCES,
        "contains": inner,
        "not": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "unevaluatedItems": inner,
        "unevaluatedProperties": inner,
        "x-unknown": INSTANCES,
        "$ref": st.just("#/$defs/d"),
    }
    # Most keywords are compiled ones, because one other keyword disables the predicate. A JSON Schema has few keywords,
    # because hardly any value is valid for many keywords.
    return st.booleans() | some_of(compiled) | some_of(compiled) | some_of(compiled | others)


@st.composite
def some_of(draw: st.DrawFn, keywords: dict[str, st.SearchStrategy[Any]]) -> Any:
    """Draw a JSON Schema with at most three of the keywords."""
    names = draw(st.lists(st.sampled_from(list(keywords)), max_size=3, unique=True))
    return {name: draw(keywords[name]) for name in names}


@st.composite
def root_schemas(draw: st.DrawFn) -> Any:
    """Draw a JSON Schema in which ``#/$defs/d`` exists."""
    inner = draw(schemas(schemas(schemas(st.booleans()))))
    root = draw(st.sampled_from([{"properties": {"a": inner}}, {"items": inner}, {"allOf": [inner]}]))
    return root | {"$defs": {"d": {"type": draw(TYPES), "maxLength": 1}}}


@settings(max_examples=500, deadline=None)
@given(schema=root_schemas(), instances=st.lists(INSTANCES, min_size=4, max_size=4))
def test_generated(schema: Any, instances: list[Any]):
    """For generated JSON Schemas and values, the errors are the same as in jsonschema."""
    for instance in instances:
        assert_agrees(schema, instance)
        assert_agrees(schema, {"a": instance})
        assert_agrees(schema, [instance, instance])


# The function's JSON Schemas


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


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_file_is_a_json_schema(name: str):
    """Each file is a valid JSON Schema. The function skips this check for the files that it compiles."""
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert is_fully_supported(SCHEMAS[name]) == (name in COMPILED_SCHEMAS)


@pytest.mark.parametrize(
    "schema",
    [{"type": "text"}, {"items": {"type": "text"}}, {"properties": {"a": {"typ": "string"}}}, {"not": {}}, True],
    ids=["unknown type", "unknown type of items", "unknown keyword of a property", "unsupported keyword", "boolean"],
)
def test_not_fully_supported(schema: Any):
    """If a JSON Schema has an unknown part, jsonschema validates the JSON Schema itself."""
    assert not is_fully_supported(schema)


@pytest.mark.parametrize(
    "schema",
    [{"minLength": "1 or 1"}, {"required": "job_id"}, {"enum": "PASS"}, {"pattern": 5}, {"maximum": True}, {"type": 1}],
    ids=json.dumps,
)
def test_arguments_of_another_type(schema: Any):
    """A JSON Schema whose keyword has an argument of another type is not compiled: jsonschema refuses it."""
    assert not is_fully_supported(schema)
    assert not compile_schema(schema)("job_id")


def test_infinite_limits():
    """The limits of a number may be infinite."""
    assert compile_schema({"maximum": float("inf"), "minimum": float("-inf")})(1)
    assert not compile_schema({"maximum": float("nan")})(1)


def test_unknown_type():
    """The predicate accepts no value of a type that it does not know."""
    assert not compile_schema({"type": "text"})("a")
    assert compile_schema({"type": ["text", "string"]})("a")


@pytest.mark.parametrize("name", COMPILED_SCHEMAS)
def test_examples(name: str):
    """The predicate accepts the examples of the JSON Schemas that the function compiles."""
    assert compile_schema(SCHEMAS[name])(example(SCHEMAS[name]))


@pytest.mark.parametrize("name", COMPILED_SCHEMAS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_examples(name: str, data: st.DataObject):
    """For mutated examples, predicate and errors agree with jsonschema."""
    schema = SCHEMAS[name]
    assert_agrees(schema, data.draw(mutated(data.draw(mutated(example(schema))))))


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ([1, 1], [((0,), "type"), ((1,), "type")]),
        (["a", "a"], [((), "uniqueItems")]),
        (["a", "b", "c"], [((), "maxItems")]),
        ([1] * 100_000, [((), "maxItems")]),
    ],
    ids=["items", "unique", "too many items", "100,000 items"],
)
def test_cheap_keywords_first(value: Any, errors: list[Any]):
    """The number of items is validated first, then the items, then ``uniqueItems``."""
    node = _Node({"items": {"type": "string"}, "uniqueItems": True, "maxItems": 2})
    assert [(path, error.validator) for path, error in node.errors(value, ())] == errors
