"""The report: plain text that fits into one chat message, in which DDM's texts cannot imitate other lines."""

import re
import sys
import unicodedata

import pytest
from helpers.function import EVENT, Function
from hypothesis import given
from hypothesis import strategies as st

from ddm_precheck.checks import Check
from ddm_precheck.event import Precheck
from ddm_precheck.problem import UpstreamInfo
from ddm_precheck.report import MAX_BYTES, build_report
from ddm_precheck.text import one_line, truncate_bytes
from ddm_precheck.verdict import judge
from testing.fake_behaviours import FakeResponse, check, results
from testing.fake_ddm import FakeDDM

CHECKED_AT = "2026-11-23T08:00:00Z"
JOB_LINE = f"Job {EVENT['job_id']} of database schema orders, checked at {CHECKED_AT}"
NOTES = (
    ". The list may be incomplete: expected_checks is not set. The synchronous checks are not covered:"
    " pre_check_results is not given."
)
MORE_LINE = re.compile(r"… and ([1-9][0-9]*) more")
ISSUE_LINE = re.compile(r"- (FAILED|WARN|accepted WARN) .*")
CHINESE = "目标实例的磁盘剩余空间不足, 无法容纳拆分后的数据, 请先扩容磁盘后再重新发起预检查。"


def issue(
    name: str,
    status: str = "FAILED",
    error: str | None = None,
    suggestion: str | None = None,
    detail: str | None = None,
) -> Check:
    return Check(name, status, "asynchronous", None, suggestion, error, detail)


def report_of(*checks: Check, synchronous: tuple[Check, ...] = (), **fields: object) -> str:
    ids = {name: EVENT[name] for name in ("project_id", "instance_id", "job_id")}
    precheck = Precheck(**ids, db_name="orders", **fields)
    summary = judge(precheck, synchronous, checks, UpstreamInfo(200, 1), CHECKED_AT)
    return build_report(summary.decision, summary.issues)


def validate_form(report: str, checks: list[Check]) -> None:
    """Fail unless the report has at most 2,000 bytes, two first lines, and a line for each issue that fits."""
    assert len(report.encode()) <= MAX_BYTES == 2000
    assert report.splitlines() == report.split("\n")
    first, second, *rest = report.split("\n")
    assert re.fullmatch(r"(PASS|WARN|FAIL|PENDING): .+", first)
    assert second == JOB_LINE
    number = sum(each.status != "SUCCESS" for each in checks)
    more = MORE_LINE.fullmatch(rest[-1]) if rest else None
    lines = rest[:-1] if more else rest
    assert all(ISSUE_LINE.fullmatch(line) for line in lines)
    assert len(lines) + (int(more[1]) if more else 0) == number
    assert len(lines) >= min(number, 4)


@pytest.mark.parametrize(
    ("checks", "fields", "lines"),
    [
        pytest.param([issue("a", "SUCCESS", "error", "suggestion")], {}, [], id="success"),
        pytest.param(
            [issue("a", "WARN", "error", "suggestion"), issue("b")],
            {},
            ["- FAILED b", "- WARN a: error → suggestion"],
            id="failed check first",
        ),
        pytest.param(
            [issue("a", "WARN", None, "suggestion"), issue("b", "WARN", "error")],
            {"accepted_warnings": frozenset("a")},
            ["- accepted WARN a → suggestion", "- WARN b: error"],
            id="accepted warning",
        ),
        pytest.param([issue("a"), issue("a", "WARN")], {"accepted_warnings": frozenset("a")}, ["- FAILED a",
                     "- accepted WARN a"], id="failed check of an accepted name"),
        pytest.param([issue("a", "WARN", "e")], {"expected_checks": 2}, ["- WARN a: e"], id="PENDING with a warning"),
        pytest.param([issue("a", detail="detail")], {}, ["- FAILED a: detail"], id="detail without an error"),
        pytest.param([issue("a", error="error", detail="detail")], {}, ["- FAILED a: error"], id="detail and error"),
    ],
)  # fmt: skip
def test_lines_of_the_issues(checks, fields, lines):
    report = report_of(*checks, **fields)
    assert report.split("\n")[1:] == [JOB_LINE, *lines]


@pytest.mark.parametrize(("number", "length"), [(1, 3000), (4, 3000), (5, 3000), (12, 300), (1000, 3000)], ids=str)
@pytest.mark.parametrize("character", ["a", "é", "检", "\U0001f600"], ids=["1 byte", "2 bytes", "3 bytes", "4 bytes"])
def test_long_texts_use_the_space(number, length, character):
    text = character * length
    checks = [issue(text, "FAILED", text, text) for _ in range(number)]
    report = report_of(*checks)
    validate_form(report, checks)
    assert len(report.encode()) > MAX_BYTES - 100
    assert set(report.split("\n", 2)[2]) <= set("- FAILED: → …\nand more0123456789" + character)
    for line in report.split("\n")[2:6]:
        name, error, suggestion = re.fullmatch(r"- FAILED (.+): (.+) → (.+)", line).groups()
        assert all(part.endswith("…") and len(part) > 10 for part in (name, error, suggestion))


def test_short_texts_leave_their_space_to_others():
    checks = [issue("a", "FAILED", "error", "suggestion"), issue("b", "WARN", "x" * 1000, "y" * 200)]
    assert report_of(*checks).split("\n")[2:] == [
        "- FAILED a: error → suggestion",
        f"- WARN b: {'x' * 1000} → {'y' * 200}",
    ]
    swapped = issue("a", "FAILED", "x" * 200, "y" * 1000)
    assert report_of(swapped).split("\n")[2:] == [f"- FAILED a: {'x' * 200} → {'y' * 1000}"]


def test_notes_are_never_truncated():
    first, *_ = report_of(*(issue("检" * 200, "WARN") for _ in range(5))).split("\n")
    assert first.startswith("WARN: 5 of 5 checks warned: 检检")
    assert first.endswith(f"…{NOTES}")
    assert 380 <= len(first.encode()) <= 400


def test_name_cannot_imitate_a_note():
    checks = [issue(f"{n}{'检' * 90}", "WARN") for n in range(4)] + [issue(f"x{NOTES}", "WARN")]
    synchronous = (issue("s", "SUCCESS"),)
    first, *_ = report_of(*checks, expected_checks=5, synchronous=synchronous).split("\n")
    assert first.endswith("检…")


def test_issue_has_one_line(function: Function, fake_ddm: FakeDDM):
    text = "a\r\n\x0b\u2028\u202eb"
    texts = {"error_message": text, "handling_suggestion": text}
    fake_ddm.behaviours["lines"] = results(check(text, "FAILED", **texts), check("end", "WARN"))
    report = function.send_event("lines").summary["report"]
    assert report.splitlines() == report.split("\n")
    assert report.split("\n")[2:] == ["- FAILED a b: a b → a b", "- WARN end"]


def test_control_and_format_characters_become_a_space():
    """All but a few visible characters of three scripts, which have the category of a format character."""
    categories = {"Cc", "Cf", "Zl", "Zp"}
    unsafe = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) in categories]
    remaining = [unicodedata.name(character) for character in unsafe if one_line(f"a{character}b") != "a b"]
    assert all(re.match("ARABIC|SYRIAC ABBREVIATION MARK|KAITHI NUMBER", name) for name in remaining)
    invisible_letters = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u3164\uffa0"
    assert all(one_line(f"a{character}b") == "a b" for character in invisible_letters)


def test_texts_cannot_mention_a_person():
    mention = "@all <!channel> <@U1> <b>x</b>"
    report = report_of(issue(mention, "FAILED", mention, mention))
    lookalike = mention.translate(str.maketrans("@<>", "\uff20\u2039\u203a"))
    assert report.split("\n")[2] == f"- FAILED {lookalike}: {lookalike} → {lookalike}"


@pytest.mark.parametrize("text", ["x\n- FAILED y", "x\n… and 900 more", f"x\n{JOB_LINE}", "accepted x", "(accepted)"])
def test_texts_cannot_imitate_a_line(text):
    report = report_of(issue(text, "WARN", text, text), accepted_warnings=frozenset(["another name"]))
    clean = " ".join(text.split())
    assert report.split("\n")[2:] == [f"- WARN {clean}: {clean} → {clean}"]


@pytest.mark.parametrize(
    ("text", "max_bytes", "expected"),
    [
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "ab…"),
        ("检检", 5, "…"),
        ("ab cdef", 6, "ab…"),
        ("abcd", 2, "…"),
        ("abcd", -1, "…"),
        ("", -1, ""),
    ],
)
def test_truncate_bytes(text, max_bytes, expected):
    assert truncate_bytes(text, max_bytes) == expected


def test_lone_surrogates_become_question_marks(function: Function, fake_ddm: FakeDDM):
    item = r'{"name": "a\ud800b", "status": "FAILED", "error_message": "\udc00", "handling_suggestion": "\ud83d\ude00"}'
    body = f'{{"job_id": "{EVENT["job_id"]}", "pre_check_results": [{item}]}}'.encode()
    fake_ddm.behaviours["surrogates"] = lambda _: FakeResponse(200, body)
    report = function.send_event("surrogates").summary["report"]
    assert report.split("\n")[2] == "- FAILED a?b: ? → \U0001f600"


texts = st.text(max_size=60) | st.text(min_size=200, max_size=900) | st.sampled_from(["", "\n", "a", CHINESE * 9, "…"])
safe_texts = texts.map(lambda text: text.encode("utf-8", "replace").decode())
checks_of_any_text = st.lists(
    st.builds(
        issue,
        name=safe_texts,
        status=st.sampled_from(["SUCCESS", "WARN", "FAILED"]),
        error=safe_texts | st.none(),
        suggestion=safe_texts | st.none(),
    ),
    max_size=12,
)


@given(checks=checks_of_any_text, data=st.data())
def test_form_of_the_report_for_any_texts(checks, data):
    names = sorted({each.name for each in checks})
    accepted = frozenset(data.draw(st.lists(st.sampled_from(names), unique=True))) if names else frozenset()
    report = report_of(*checks, accepted_warnings=accepted)
    validate_form(report, checks)
    assert not set("@<>") & set(report)
    issues = [each for status in ("FAILED", "WARN") for each in checks if each.status == status]
    for line, each in zip(report.split("\n")[2:], issues, strict=False):
        if MORE_LINE.fullmatch(line):
            break
        is_accepted = each.status == "WARN" and each.name in accepted
        assert line.startswith(f"- {'accepted ' if is_accepted else ''}{each.status} ")
