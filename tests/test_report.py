"""The report: plain text that fits into one chat message, in which DDM's texts cannot imitate other lines."""

import os
import re
import sys
import unicodedata

import pytest
from helpers.function import EVENT, Function, character_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddm_precheck.checks import Check, PrecheckResult
from ddm_precheck.event import Event
from ddm_precheck.problem import UpstreamInfo
from ddm_precheck.report import MAX_BYTES, build_report
from ddm_precheck.text import one_line, truncate_bytes
from ddm_precheck.verdict import judge
from testing.fake_behaviours import FakeResponse, check, results
from testing.fake_ddm import FakeDDM

CHECKED_AT = "2026-11-23T08:00:00Z"
JOB_LINE = f"Job {EVENT['job_id']} of database schema orders, checked at {CHECKED_AT}"
INCOMPLETE_NOTE = "; the list may be incomplete, because expected_checks is not set"
MORE_LINE = re.compile(r"… and ([1-9][0-9]*) more")
ISSUE_LINE = re.compile(r"- (FAILED|WARN|accepted WARN) .*")
INVISIBLE_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u3164\uffa0"
CHINESE = "目标实例的磁盘剩余空间不足, 无法容纳拆分后的数据, 请先扩容磁盘后再重新发起预检查。"
many_examples = settings(
    max_examples=int(os.environ.get("EXAMPLES", "100")) * 3, derandomize=True, deadline=None, database=None
)


def issue(name: str, status: str = "FAILED", error: str | None = None, suggestion: str | None = None) -> Check:
    """Return one check with these texts."""
    return Check(name=name, status=status, error_message=error, handling_suggestion=suggestion)


def report_of(*checks: Check, **fields: object) -> str:
    """Return the report of these checks."""
    event = Event(**EVENT | {"db_name": "orders"}, **fields)
    summary = judge(event, PrecheckResult(list(checks), UpstreamInfo(200, 1, 0)), CHECKED_AT)
    return build_report(summary.decision, summary.issues)


def validate_form(report: str, checks: list[Check]) -> None:
    """Fail unless the report has at most 2,000 bytes, two first lines, and a line for each issue that fits."""
    assert len(report.encode()) <= MAX_BYTES == 2000
    first, second, *rest = report.split("\n")
    assert re.fullmatch(r"(PASS|WARN|FAIL|PENDING): .+", first)
    assert second == JOB_LINE
    number = sum(each["status"] != "SUCCESS" for each in checks)
    more = MORE_LINE.fullmatch(rest[-1]) if rest else None
    lines = rest[:-1] if more else rest
    assert all(ISSUE_LINE.fullmatch(line) for line in lines)
    assert len(lines) + (int(more[1]) if more else 0) == number
    assert len(lines) >= min(number, 4)


@pytest.mark.parametrize(
    ("checks", "fields", "lines"),
    [
        pytest.param([], {}, ["PENDING: DDM lists no checks yet; try again later", JOB_LINE], id="no checks"),
        pytest.param(
            [issue("a", "SUCCESS", "error", "suggestion")],
            {"expected_checks": 1},
            ["PASS: 1 of 1 checks passed", JOB_LINE],
            id="PASS",
        ),
        pytest.param(
            [issue("a", "WARN", "error", "suggestion"), issue("b", "FAILED")],
            {},
            ["FAIL: 1 of 2 checks failed, 1 warned: b; a", JOB_LINE, "- FAILED b", "- WARN a: error → suggestion"],
            id="FAIL",
        ),
        pytest.param(
            [issue("a", "WARN", None, "suggestion"), issue("b", "WARN", "error")],
            {"accepted_warnings": frozenset("a")},
            [
                f"WARN: 2 of 2 checks warned (1 accepted): a; b{INCOMPLETE_NOTE}",
                JOB_LINE,
                "- accepted WARN a → suggestion",
                "- WARN b: error",
            ],
            id="WARN, one accepted",
        ),
        pytest.param(
            [issue("a", "WARN", "error")],
            {"expected_checks": 2},
            [
                "PENDING: DDM lists 1 of at least 2 different checks; try again later",
                JOB_LINE,
                "- WARN a: error",
            ],
            id="PENDING with a warning",
        ),
        pytest.param(
            [issue("a") | {"error_detail_message": "detail"}],
            {},
            ["FAIL: 1 of 1 checks failed, 0 warned: a", JOB_LINE, "- FAILED a: detail"],
            id="detail without an error",
        ),
        pytest.param(
            [issue("a", "FAILED", "error") | {"error_detail_message": "detail"}],
            {},
            ["FAIL: 1 of 1 checks failed, 0 warned: a", JOB_LINE, "- FAILED a: error"],
            id="detail and error",
        ),
    ],
)
def test_lines(checks, fields, lines):
    """The report has the verdict and the message, the job, and a line for each issue with its error and suggestion."""
    assert report_of(*checks, **fields).split("\n") == lines


def test_thousand_chinese_issues(function: Function, fake_ddm: FakeDDM):
    """A report of 1,000 Chinese issues has at most 2,000 bytes of UTF-8 and ends with the number of further issues."""
    texts = {"error_message": CHINESE, "handling_suggestion": CHINESE}
    fake_ddm.behaviours["thousand"] = results(*(check(f"检查项 {n}", "FAILED", **texts) for n in range(1000)))
    summary = function.send_event("thousand").summary
    *_, before_last, last = summary["report"].split("\n")
    shown = len(summary["report"].split("\n")) - 3
    assert 4 <= shown < 1000
    assert last == f"… and {1000 - shown} more"
    assert before_last.startswith(f"- FAILED 检查项 {shown - 1}: {CHINESE[:15]}")
    assert len(summary["report"].encode()) <= MAX_BYTES


@pytest.mark.parametrize(
    ("number", "length"), [(1, 3000), (2, 3000), (4, 3000), (5, 3000), (12, 300), (1000, 3000)], ids=str
)
@pytest.mark.parametrize("character", ["a", "é", "检", "\U0001f600"], ids=["1 byte", "2 bytes", "3 bytes", "4 bytes"])
def test_long_texts_use_the_space(number, length, character):
    """Long texts are truncated between characters. At least four issues fit, and at most 100 bytes remain unused."""
    text = character * length
    checks = [issue(text, "FAILED", text, text) for _ in range(number)]
    report = report_of(*checks)
    validate_form(report, checks)
    assert len(report.encode()) > MAX_BYTES - 100
    assert set(report.split("\n", 2)[2]) <= set("- FAILED: → …\nand more0123456789" + character)
    for line in report.split("\n")[2:6]:
        name, error, suggestion = re.fullmatch(r"- FAILED (.+): (.+) → (.+)", line).groups()
        assert all(part.endswith("…") and len(part) > 10 for part in (name, error, suggestion))


def test_short_issue_leaves_its_space_to_the_next():
    """An issue may use the bytes that earlier issues leave.

    A text may use the bytes that the other text of its issue leaves.
    """
    checks = [issue("a", "FAILED", "error", "suggestion"), issue("b", "WARN", "x" * 1000, "y" * 200)]
    assert report_of(*checks).split("\n")[2:] == [
        "- FAILED a: error → suggestion",
        f"- WARN b: {'x' * 1000} → {'y' * 200}",
    ]
    swapped = [issue("a", "FAILED", "x" * 200, "y" * 1000)]
    assert report_of(*swapped).split("\n")[2:] == [f"- FAILED a: {'x' * 200} → {'y' * 1000}"]


def test_note_of_an_incomplete_list_is_never_truncated():
    """Long names in the message are truncated, but the note that the list may be incomplete is not."""
    first, *_ = report_of(*(issue("检" * 200, "WARN") for _ in range(5))).split("\n")
    assert first.startswith("WARN: 5 of 5 checks warned: 检检")
    assert first.endswith(f"…{INCOMPLETE_NOTE}")
    assert 380 <= len(first.encode()) <= 400


def test_name_cannot_imitate_the_note():
    """If a check's name ends with the note's text and the list is complete, the headline does not have the note."""
    checks = [issue(f"{n}{'检' * 90}", "WARN") for n in range(4)] + [issue(f"x{INCOMPLETE_NOTE}", "WARN")]
    first, *_ = report_of(*checks, expected_checks=5).split("\n")
    assert first.endswith("检…")
    assert 380 <= len(first.encode()) <= 400


@pytest.mark.parametrize(
    "text",
    [
        *("a\nb", "a\r\nb", "a\rb", "a\x0bb", "a\x0cb", "a\x1cb", "a\x1db", "a\x1eb", "a\x85b", "a\u2028b", "a\u2029b"),
        *("a\x00b", "a\x1b[31mb", "a\x7fb", "a\u200bb", "a\u200db", "a\ufeffb", "a\u202eb", "a\u2066b", "a\u200eb"),
        *("a\u061cb", "a\u00adb", "a\u2060b", "a\U000e0041b", "a\ufff9b"),
    ],
    ids=character_id,
)
def test_one_issue_has_one_line(function: Function, fake_ddm: FakeDDM, text):
    """Line breaks, control characters, invisible characters and direction marks become one space."""
    texts = {"error_message": text, "handling_suggestion": text}
    fake_ddm.behaviours["lines"] = results(check(text, "FAILED", **texts), check("end", "WARN"))
    report = function.send_event("lines").summary["report"]
    clean = "a [31mb" if "[" in text else "a b"
    assert report.splitlines() == report.split("\n")
    assert report.split("\n")[2:] == [f"- FAILED {clean}: {clean} → {clean}", "- WARN end"]


def test_all_control_and_format_characters():
    """A few visible characters of three scripts remain. All other control, format and separator characters do not."""
    categories = {"Cc", "Cf", "Zl", "Zp"}
    unsafe = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) in categories]
    remaining = [unicodedata.name(character) for character in unsafe if one_line(f"a{character}b") != "a b"]
    assert all(re.match("ARABIC|SYRIAC ABBREVIATION MARK|KAITHI NUMBER", name) for name in remaining)
    assert all(one_line(f"a{character}b") == "a b" for character in INVISIBLE_LETTERS)


@pytest.mark.parametrize(
    "mention",
    [
        *("@all", "@所有人", "@13800138000", "<!channel>", "<!here|here>", "<@U123>", "<#C123>", "<!subteam^S1>"),
        *("<at>Ann</at>", '<at user_id="all"></at>', "<@userid>", "<https://a.example|text>", "<b>x</b>", "@channel"),
    ],
)
def test_no_mention(function: Function, fake_ddm: FakeDDM, mention):
    """DDM's texts cannot mention anybody in Slack, Teams, WeCom or DingTalk, nor contain a tag."""
    texts = {"error_message": mention, "handling_suggestion": mention}
    fake_ddm.behaviours["mention"] = results(check(mention, "FAILED", **texts))
    summary = function.send_event("mention").summary
    assert not set("@<>") & set(summary["report"])
    look_alike = mention.translate(str.maketrans("@<>", "\uff20\u2039\u203a"))
    assert summary["report"].split("\n")[2] == f"- FAILED {look_alike}: {look_alike} → {look_alike}"
    assert summary["issues"][0]["name"] == mention


@pytest.mark.parametrize(
    "text",
    [
        "x\n- FAILED another",
        "x\n… and 900 more",
        "x\n\nPASS: 3 of 3 checks passed",
        f"x\n{JOB_LINE}",
        "accepted x",
        "(accepted)",
    ],
    ids=["issue", "number of further issues", "headline", "job", "accepted", "accepted in parentheses"],
)
def test_no_line_can_be_imitated(text):
    """A text that imitates a line of the report stays in the line of its issue, after the status."""
    checks = [issue(text, "WARN", text, text)]
    report = report_of(*checks, accepted_warnings=frozenset(["another name"]))
    validate_form(report, checks)
    clean = " ".join(text.split())
    assert report.split("\n")[2:] == [f"- WARN {clean}: {clean} → {clean}"]


@pytest.mark.parametrize("length", range(1, 60, 7))
def test_truncation_leaves_whole_characters(length):
    """A truncated text is valid UTF-8 without a replacement character, at each position of the truncation."""
    text = "a" * length + "\U0001f600检é" * 400
    report = report_of(issue(text[:30], "FAILED", text, text))
    assert "\ufffd" not in report
    assert report.encode().decode() == report
    assert set(report.split("\n")[2]) <= set("- FAILED: → …a\U0001f600检é")


@pytest.mark.parametrize(
    ("text", "max_bytes", "expected"),
    [
        pytest.param("abcde", 5, "abcde", id="fits"),
        pytest.param("abcdef", 5, "ab…", id="truncated"),
        pytest.param("检检", 5, "…", id="limit in a character"),
        pytest.param("ab cdef", 6, "ab…", id="space before the limit"),
        pytest.param("abcd", 3, "…", id="room for the ellipsis"),
        pytest.param("abcd", 2, "…", id="no room for the ellipsis"),
        pytest.param("abcd", -1, "…", id="no room"),
        pytest.param("a", 0, "…", id="no room for one character"),
        pytest.param("", 0, "", id="empty"),
        pytest.param("", -1, "", id="empty, no room"),
    ],
)
def test_truncate_bytes(text, max_bytes, expected):
    """A text is truncated between characters and gets an ellipsis. If there is no room, only the ellipsis remains."""
    assert truncate_bytes(text, max_bytes) == expected


def test_lone_surrogates(function: Function, fake_ddm: FakeDDM):
    """Lone surrogates in DDM's JSON become question marks. A surrogate pair becomes the character that it encodes."""
    item = r'{"name": "a\ud800b", "status": "FAILED", "error_message": "\udc00", "handling_suggestion": "\ud83d\ude00"}'
    body = f'{{"job_id": "{EVENT["job_id"]}", "pre_check_results": [{item}]}}'.encode()
    fake_ddm.behaviours["surrogates"] = lambda _: FakeResponse(200, body)
    report = function.send_event("surrogates").summary["report"]
    assert report.split("\n")[2] == "- FAILED a?b: ? → \U0001f600"


texts = st.text(max_size=60) | st.text(min_size=200, max_size=900) | st.sampled_from(["", "\n", "a", CHINESE * 9, "…"])
raw_texts = (texts | st.text(st.characters(categories=["Cs", "L", "Zs"]), min_size=1)).filter(str.strip)
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


@pytest.fixture
def in_process(start) -> Function:
    """The function in this process."""
    return start()


@many_examples
@given(checks=checks_of_any_text, data=st.data())
def test_any_texts(checks, data):
    """For arbitrary texts, the report has the required form and marks only the accepted warnings."""
    names = sorted({each["name"] for each in checks})
    accepted = frozenset(data.draw(st.lists(st.sampled_from(names), unique=True))) if names else frozenset()
    report = report_of(*checks, accepted_warnings=accepted)
    validate_form(report, checks)
    assert not set("@<>") & set(report)
    assert report.splitlines() == report.split("\n")
    issues = [each for status in ("FAILED", "WARN") for each in checks if each["status"] == status]
    for line, each in zip(report.split("\n")[2:], issues, strict=False):
        if MORE_LINE.fullmatch(line):
            break
        is_accepted = each["status"] == "WARN" and each["name"] in accepted
        assert line.startswith(f"- {'accepted ' if is_accepted else ''}{each['status']} ")


@settings(many_examples, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(st.fixed_dictionaries({"name": raw_texts, "error_message": raw_texts}), max_size=8))
def test_any_texts_of_ddm(in_process: Function, fake_ddm: FakeDDM, items):
    """For arbitrary JSON strings from DDM, also with lone surrogates, the report has the required form."""
    fake_ddm.behaviours["texts"] = results(*({"status": "FAILED"} | item for item in items))
    summary = in_process.send_event("texts").summary
    assert len(summary["report"].encode()) <= MAX_BYTES
    lines = summary["report"].split("\n")
    assert summary["report"].splitlines() == lines
    assert all(ISSUE_LINE.fullmatch(line) or MORE_LINE.fullmatch(line) for line in lines[2:])
    assert len(items) == 0 or len(lines) >= 2 + min(len(items), 4)
