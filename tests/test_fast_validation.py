"""`PrecheckValidator` agrees with jsonschema: on the official cases, on generated ones, and on our JSON Schemas."""

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
from jsonschema.exceptions import UnknownType

from ddm_precheck import fast_validation
from ddm_precheck.fast_validation import PrecheckValidator

SCHEMAS = {path.name: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.schema.json")}

# The keywords that fast_validation implements, and those that can interfere with them.
SUITE_FILES = [
    *("pattern", "properties", "items", "type", "enum", "required", "minLength", "maxLength"),
    *("additionalProperties", "boolean_schema", "default", "infinite-loop-detection", "prefixItems"),
    *("unevaluatedItems", "unevaluatedProperties"),
]


def errors(validator: Any, instance: Any) -> list[Any]:
    """Return the place and the keyword of each error."""
    return [
        (list(error.absolute_path), list(error.absolute_schema_path), error.validator, error.validator_value)
        for error in validator.iter_errors(instance)
    ]


def assert_same_errors(schema: Any, instance: Any) -> None:
    """Compare the errors of `PrecheckValidator` with those of jsonschema's own validator."""
    assert errors(PrecheckValidator(schema), instance) == errors(Draft202012Validator(schema), instance)


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch):
    """Each test starts without compiled JSON Schemas."""
    monkeypatch.setattr(fast_validation, "_compiled", {})


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
        shutil.move(found, cached)  # not Path.rename: the two may be on different file systems
    return cached


def wrong_cases(path: Path, *, only: str = "") -> list[tuple[str, str, str]]:
    """Return the cases of the file that `PrecheckValidator` gets wrong, at the root or below another JSON Schema."""
    wrong = []
    for case in (case for case in json.loads(path.read_text()) if only in case["description"]):
        schema = case["schema"]
        forms = {"root": (schema, lambda data: data)}
        if "Ref" not in json.dumps(case) and "$ref" not in json.dumps(case):
            # Predicates apply below `properties` and `items` only. A reference would point to the wrong place there,
            # and jsonschema alone handles a subschema that names its dialect.
            inner = schema if isinstance(schema, bool) else {name: schema[name] for name in schema if name != "$schema"}
            forms["property"] = ({"properties": {"x": inner}}, lambda data: {"x": data})
            forms["item"] = ({"items": inner}, lambda data: [data])
        wrong += [
            (case["description"], test["description"], form)
            for form, (schema, wrap) in forms.items()
            for test in case["tests"]
            if PrecheckValidator(schema).is_valid(wrap(test["data"])) != test["valid"]
        ]
    return wrong


@pytest.mark.parametrize("name", SUITE_FILES)
def test_suite(suite: Path, name: str):
    """`PrecheckValidator` is right in all official cases of a keyword."""
    assert wrong_cases(suite / f"{name}.json") == []


def test_suite_dollar(suite: Path):
    """It is right in the official case of ``$`` that jsonschema fails."""
    assert wrong_cases(suite / "optional" / "ecmascript-regex.json", only="$ does not match trailing newline") == []


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
@pytest.mark.parametrize("nested", [False, True], ids=["keyword", "predicate"])
def test_dollar(pattern: str, text: str, matches: bool, nested: bool):  # noqa: FBT001 - columns of the table
    """``$`` matches the end of the text only, not before a trailing newline."""
    schema: Any = {"pattern": pattern}
    instance: Any = text
    if nested:
        schema, instance = {"properties": {"x": schema}}, {"x": text}
    assert PrecheckValidator(schema).is_valid(instance) == matches


def test_compiled_once(monkeypatch):
    """A subschema is compiled once, when it is first used."""
    compiled = []
    compile_schema = fast_validation._compile
    monkeypatch.setattr(fast_validation, "_compile", lambda schema: compiled.append(schema) or compile_schema(schema))
    validator = PrecheckValidator({"items": {"type": "string"}})
    assert [validator.is_valid(["a", "b"]), validator.is_valid(["c", 7])] == [True, False]
    assert compiled == [{"type": "string"}]


@pytest.mark.parametrize(
    "validator", [PrecheckValidator, Draft202012Validator], ids=["PrecheckValidator", "jsonschema"]
)
def test_unknown_type(validator: Any):
    """For an unknown type, both validators raise the same exception."""
    with pytest.raises(UnknownType):
        validator({"properties": {"x": {"type": "text"}}}).is_valid({"x": "a"})


@pytest.mark.parametrize("value", [1, 1.0, True, "1", [1], {"a": 1}, None], ids=json.dumps)
@pytest.mark.parametrize("member", [1, 1.0, True, "1", [1], {"a": 1}, "None"], ids=json.dumps)
def test_enum(member: Any, value: Any):
    """Values that are equal in Python, such as 1 and True, are equal only if they are for jsonschema."""
    assert_same_errors({"properties": {"x": {"enum": [member, "a"]}}}, {"x": value})


def test_pattern_message():
    """The message of an error has the pattern, and not the text."""
    (error,) = PrecheckValidator({"pattern": "^a$"}).iter_errors("secret")
    assert error.message == "does not match '^a$'"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "a"),
        ({"type": ["string", "null"]}, None),
        ({"enum": ["a", "b"]}, "b"),
        ({"pattern": "^b"}, "b"),
        ({"minLength": 1}, "a"),
        ({"maxLength": 1}, "a"),
        ({"required": ["a"]}, {"a": 1}),
        ({"properties": {"a": {"type": "string"}}}, {"a": "b", "c": 1}),
        ({"title": "A text", "type": "string", "minLength": 1, "examples": ["a"]}, "a"),
    ],
    ids=["type", "types", "enum", "pattern", "minLength", "maxLength", "required", "properties", "annotations"],
)
def test_valid_values_skip_jsonschema(monkeypatch, schema, value):
    """For a valid value, jsonschema's slow `descend` is not called."""
    monkeypatch.setattr(PrecheckValidator, "descend", None)
    assert PrecheckValidator({"properties": {"x": schema}, "items": schema}).is_valid({"x": value})
    assert PrecheckValidator({"properties": {"x": schema}, "items": schema}).is_valid([value, value])


@pytest.mark.parametrize("value", [7, True, 1.5, ["a"], {"b": 1}, "b", None], ids=json.dumps)
def test_values_at_each_depth(value):
    """At each depth, the errors are those of jsonschema."""
    inner = {"properties": {"a": {"type": ["string", "null"]}, "b": {"type": "array"}}}
    for schema in (inner, {"type": "object"} | inner, {"properties": {"x": inner}}, {"items": inner}):
        for instance in (value, {"a": value}, {"x": {"a": value}}, [{"b": value}, {"a": value}]):
            assert_same_errors({"properties": {"y": schema}, "items": schema}, {"y": instance})
            assert_same_errors({"properties": {"y": schema}, "items": schema}, [instance])


# Generated cases

NAMES = st.sampled_from(["a", "b", "c"])
# Few and small values, so that equal ones are frequent. No line breaks: ``$`` differs from jsonschema's there.
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
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "items": inner,
        "title": st.just("Title"),
        "default": INSTANCES,
    }
    others = {
        "additionalProperties": inner,
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "const": INSTANCES,
        "maxItems": LENGTHS,
        "minimum": st.sampled_from([0, 0.5, 1]),
        "not": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "unevaluatedItems": inner,
        "unevaluatedProperties": inner,
        "x-unknown": INSTANCES,
        "$ref": st.just("#/$defs/d"),
    }
    # Mostly of compiled keywords: another one ends the fast path. And of few: with many, no value is valid.
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
    """For generated JSON Schemas and values, the errors are those of jsonschema."""
    for instance in instances:
        assert_same_errors(schema, instance)
        assert_same_errors(schema, {"a": instance})
        assert_same_errors(schema, [instance, instance])


# Our own JSON Schemas


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
def test_examples(name: str):
    """The examples of a JSON Schema are valid, so that the mutated ones are nearly valid."""
    schema = SCHEMAS[name]
    assert errors(PrecheckValidator(schema), example(schema)) == []


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutated_examples(name: str, data: st.DataObject):
    """For mutated examples, the errors are those of jsonschema."""
    schema = SCHEMAS[name]
    assert_same_errors(schema, data.draw(mutated(data.draw(mutated(example(schema))))))
