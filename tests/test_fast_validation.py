"""The validator with keywords of our own is jsonschema's: the official cases, generated ones, and our schemas."""

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

from ddm_precheck import fast_validation as keywords
from ddm_precheck.fast_validation import PrecheckValidator

SCHEMAS = {path.name: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.schema.json")}

# What our keywords look at or make use of, and what could get in their way.
SUITE_FILES = [
    *("pattern", "properties", "items", "type", "enum", "required", "minLength", "maxLength"),
    *("additionalProperties", "boolean_schema", "default", "infinite-loop-detection", "prefixItems"),
    *("unevaluatedItems", "unevaluatedProperties"),
]


def errors(validator: Any, instance: Any) -> list[Any]:
    """Return where the instance is wrong, and by which keyword."""
    return [
        (list(error.absolute_path), list(error.absolute_schema_path), error.validator, error.validator_value)
        for error in validator.iter_errors(instance)
    ]


def assert_same(schema: Any, instance: Any) -> None:
    """Hold our validator against the stock one."""
    assert errors(PrecheckValidator(schema), instance) == errors(Draft202012Validator(schema), instance)


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch: pytest.MonkeyPatch):
    """Each test compiles its schemas anew."""
    monkeypatch.setattr(keywords, "_compiled", {})


# The official cases


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON-Schema-Test-Suite's cases for draft 2020-12, which jsonschema's source distribution carries."""
    requirement = f"jsonschema=={version('jsonschema')}"
    kept = tool_cache.FOLDER / requirement
    if not kept.exists():
        # pip unpacks the distribution and then fails for want of its build backend. That is all we want: building it
        # would take a minute.
        folder = tmp_path_factory.mktemp("suite")
        arguments = ["--no-deps", "--no-binary=:all:", "--no-build-isolation", "--no-clean", f"--dest={folder}"]
        command = [sys.executable, "-m", "pip", "download", *arguments, requirement]
        subprocess.run(command, env=os.environ | {"TMPDIR": str(folder)}, check=False, capture_output=True)
        found = next(folder.glob("*/*/json/tests/draft2020-12"), None)
        if found is None:
            pytest.skip(f"pip cannot download the source distribution of {requirement}")
        tool_cache.FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.move(found, kept)  # the two may be on different disks
    return kept


def misjudged(path: Path, *, only: str = "") -> list[tuple[str, str, str]]:
    """Return the file's cases that our validator judges wrongly, as they are or inside of another schema."""
    wrong = []
    for case in (case for case in json.loads(path.read_text()) if only in case["description"]):
        schema = case["schema"]
        forms = {"as it is": (schema, lambda data: data)}
        if "Ref" not in json.dumps(case) and "$ref" not in json.dumps(case):
            # The predicates see only what stands below `properties` and `items`. References would not lead there,
            # and a schema that names its dialect is left to jsonschema.
            inner = schema if isinstance(schema, bool) else {name: schema[name] for name in schema if name != "$schema"}
            forms["member"] = ({"properties": {"x": inner}}, lambda data: {"x": data})
            forms["item"] = ({"items": inner}, lambda data: [data])
        wrong += [
            (case["description"], test["description"], form)
            for form, (schema, wrapped) in forms.items()
            for test in case["tests"]
            if PrecheckValidator(schema).is_valid(wrapped(test["data"])) != test["valid"]
        ]
    return wrong


@pytest.mark.parametrize("name", SUITE_FILES)
def test_suite(suite: Path, name: str):
    """The official cases of a keyword come out as they should."""
    assert misjudged(suite / f"{name}.json") == []


def test_suite_dollar(suite: Path):
    """The official case that the stock validator fails comes out as it should: ``$`` is the end."""
    assert misjudged(suite / "optional" / "ecmascript-regex.json", only="$ does not match trailing newline") == []


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
    """``$`` is the end of the text wherever it is not a character."""
    schema: Any = {"pattern": pattern}
    instance: Any = text
    if nested:
        schema, instance = {"properties": {"x": schema}}, {"x": text}
    assert PrecheckValidator(schema).is_valid(instance) == matches


def test_compiled_once(monkeypatch):
    """A subschema is compiled when it is first met, however many values come after it."""
    compiled = []
    compile_it = keywords._compile
    monkeypatch.setattr(keywords, "_compile", lambda schema: compiled.append(schema) or compile_it(schema))
    validator = PrecheckValidator({"items": {"type": "string"}})
    assert [validator.is_valid(["a", "b"]), validator.is_valid(["c", 7])] == [True, False]
    assert compiled == [{"type": "string"}]


@pytest.mark.parametrize("validator", [PrecheckValidator, Draft202012Validator], ids=["ours", "stock"])
def test_unknown_type(validator: Any):
    """A type that does not exist is told as jsonschema tells it."""
    with pytest.raises(UnknownType):
        validator({"properties": {"x": {"type": "text"}}}).is_valid({"x": "a"})


@pytest.mark.parametrize("value", [1, 1.0, True, "1", [1], {"a": 1}, None], ids=json.dumps)
@pytest.mark.parametrize("member", [1, 1.0, True, "1", [1], {"a": 1}, "None"], ids=json.dumps)
def test_enum(member: Any, value: Any):
    """Values that are alike in Python are told apart, or not, as jsonschema does."""
    assert_same({"properties": {"x": {"enum": [member, "a"]}}}, {"x": value})


def test_pattern_message():
    """An error names the pattern and does not quote the text."""
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
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_certainly_valid(monkeypatch, schema, value):
    """What is certainly valid is not descended into, which is what takes the time."""
    monkeypatch.setattr(PrecheckValidator, "descend", None)
    assert PrecheckValidator({"properties": {"x": schema}, "items": schema}).is_valid({"x": value})
    assert PrecheckValidator({"properties": {"x": schema}, "items": schema}).is_valid([value, value])


@pytest.mark.parametrize("value", [7, True, 1.5, ["a"], {"b": 1}, "b", None], ids=json.dumps)
def test_certainly_is_no_guess(value):
    """A value is judged by what it is, at every depth."""
    inner = {"properties": {"a": {"type": ["string", "null"]}, "b": {"type": "array"}}}
    for schema in (inner, {"type": "object"} | inner, {"properties": {"x": inner}}, {"items": inner}):
        for instance in (value, {"a": value}, {"x": {"a": value}}, [{"b": value}, {"a": value}]):
            assert_same({"properties": {"y": schema}, "items": schema}, {"y": instance})
            assert_same({"properties": {"y": schema}, "items": schema}, [instance])


# Generated cases

NAMES = st.sampled_from(["a", "b", "c"])
# Few and small values, so that they meet; no line breaks, where ``$`` means what it means in Python.
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 0.5, -1, 2**70, "", "a", "b", "ab", "ä", "abc", "1"])
INSTANCES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
LENGTHS = st.sampled_from([0, 1, 2, 2.0])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return schemas of the keywords that the predicates know and of some that they do not."""
    known = {
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
    unknown = {
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
    # More often of known keywords only: one that is unknown ends all certainty. And of few: many let nothing pass.
    return st.booleans() | some_of(known) | some_of(known) | some_of(known | unknown)


@st.composite
def some_of(draw: st.DrawFn, keywords: dict[str, st.SearchStrategy[Any]]) -> Any:
    """Return a schema of at most three of the keywords."""
    names = draw(st.lists(st.sampled_from(list(keywords)), max_size=3, unique=True))
    return {name: draw(keywords[name]) for name in names}


@st.composite
def whole_schemas(draw: st.DrawFn) -> Any:
    """Return a schema in which ``#/$defs/d`` exists."""
    members = draw(schemas(schemas(schemas(st.booleans()))))
    whole = draw(st.sampled_from([{"properties": {"a": members}}, {"items": members}, {"allOf": [members]}]))
    return whole | {"$defs": {"d": {"type": draw(TYPES), "maxLength": 1}}}


@settings(max_examples=500, deadline=None)
@given(schema=whole_schemas(), instances=st.lists(INSTANCES, min_size=4, max_size=4))
def test_generated(schema: Any, instances: list[Any]):
    """Whatever the schema and the value, our validator finds the same errors at the same places as the stock one."""
    for instance in instances:
        assert_same(schema, instance)
        assert_same(schema, {"a": instance})
        assert_same(schema, [instance, instance])


# Our own schemas


def example(schema: Any) -> Any:
    """Return a document of the schema's own examples."""
    return {name: subschema["examples"][0] for name, subschema in schema["properties"].items()}


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """Return the document with one value, at any depth, replaced, removed or put beside."""
    if not isinstance(document, dict | list) or not document or draw(st.integers(0, 3)) == 0:
        return draw(INSTANCES)
    copy = document.copy()
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
    """The document of a schema's examples is valid, so the mutants are near to what is."""
    schema = SCHEMAS[name]
    assert errors(PrecheckValidator(schema), example(schema)) == []


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutants(name: str, data: st.DataObject):
    """Whatever becomes of a document, our validator finds the same errors as the stock one."""
    schema = SCHEMAS[name]
    assert_same(schema, data.draw(mutated(data.draw(mutated(example(schema))))))
