"""The problems: section 5 of the contract, as far as a whole answer of DDM's makes them."""

import gzip
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate

import pytest
from conftest import EVENT, TOKEN, Function

from deploy.fake_ddm import PRIMARY_KEYS, FakeDDM, FakeResponse, check, error, results

NOT_FOUND = ["DBS.300400", "DBS.300129", "DBS.300379"]
UNAVAILABLE = ["DBS.300002", "DBS.300005", "DBS.200412", "DBS.300120", "DBS.300345", "DBS.300346"]


@pytest.mark.parametrize(
    ("ddm", "code", "status", "seconds"),
    [
        (error(401, "APIGW.0307", "x"), "unauthorized", 401, None),
        (error(403, "DBS.200011", "x"), "forbidden", 403, None),
        (error(404, "APIGW.0101", "x"), "not-found", 404, None),
        *((error(400, each, "x"), "not-found", 404, None) for each in NOT_FOUND),
        (error(400, "DBS.280001", "Parameter error."), "rejected", 422, None),
        (error(409, "DBS.300400", "x"), "rejected", 422, None),
        (error(418, "x", "x"), "rejected", 422, None),
        (error(429, "APIGW.0308", "x"), "throttled", 429, 60),
        (error(429, "APIGW.0308", "x", Retry_After="7"), "throttled", 429, 7),
        (error(500, "DBS.200001", "x"), "upstream-unavailable", 502, 10),
        (error(501, "DBS.300400", "x"), "upstream-unavailable", 502, 10),
        (error(599, "x", "x"), "upstream-unavailable", 502, 10),
        *((error(400, each, "x"), "upstream-unavailable", 502, 10) for each in UNAVAILABLE),
    ],
)
def test_refusals(function: Function, fake_ddm: FakeDDM, ddm, code, status, seconds):
    """DDM's refusals are told apart by its code and status, and are asked for once."""
    fake_ddm.behaviours["refusal"] = ddm
    answer = function.ask("refusal")
    assert (answer.problem, answer.status, answer.body["retry_after_seconds"]) == (code, status, seconds)
    said = ddm(None)
    assert answer.body["upstream"] == {
        "status": said.status,
        "error_code": said.body["error_code"],
        "error_msg": said.body["error_msg"],
        "request_id": answer.log["upstream"]["request_id"],
    }
    assert len(fake_ddm.requests) == 1


@pytest.mark.parametrize(
    ("db_name", "message"),
    [
        ("rejected", "Check the event: DDM said 400 DBS.280001 Parameter error."),
        ("not_found", "Check the four IDs and the region: DDM said 400 DBS.300400 The job does not exist."),
        (
            "forbidden",
            "Let the token's user read the DDM instance: DDM said 403 DBS.200011 You do not have the permission.",
        ),
        ("throttled", "DDM said 429 APIGW.0308 The throttling threshold has been reached."),
        ("busy", "DDM is not available: DDM said 400 DBS.300002 The instance is busy."),
        ("broken", "DDM is not available: DDM said 500 DBS.200001 Internal server error."),
        ("another_job", "DDM's answer is not as documented: /job_id is not the job that was asked for"),
    ],
)
def test_message_says_what_to_do(function: Function, db_name, message):
    """The message says what DDM said and, where the caller can do something, what."""
    assert function.ask(db_name).body["message"] == message


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_failures_are_tried_again(function: Function, fake_ddm: FakeDDM, status):
    """A gateway's 502, 503 and 504 are tried three times in all."""
    fake_ddm.behaviours["gateway"] = error(status, "APIGW.0201", "Backend unavailable.")
    answer = function.ask("gateway")
    assert (answer.problem, answer.body["upstream"]["status"]) == ("upstream-unavailable", status)
    assert (len(fake_ddm.requests), answer.log["upstream"]["attempts"]) == (3, 3)


def test_pauses_between_attempts(start, monkeypatch):
    """The second pause is twice as long as the first, and neither is the same each time."""
    pauses = []
    monkeypatch.setattr("ddm_precheck.ddm.sleep", pauses.append)
    function = start()
    for _ in range(20):
        function.ask("down")
    first, second = pauses[::2], pauses[1::2]
    assert len(first) == len(second) == 20
    assert 0.1 <= min(first) < max(first) <= 0.2 <= min(second) < max(second) <= 0.4


def test_success_at_the_third_attempt(function: Function, fake_ddm: FakeDDM):
    """Two failures that pass leave a summary that says how often DDM was asked."""
    assert function.ask("down_twice").summary["upstream"]["attempts"] == 3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (lambda: "0", {0}),
        (lambda: "120", {120}),
        (lambda: "000000000120", {120}),
        (lambda: "999999", {86400}),
        (lambda: "9" * 5000, {86400}),
        (lambda: "-5", {60}),
        (lambda: "1.5", {60}),
        (lambda: "soon", {60}),
        (lambda: "", {60}),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True), {88, 89, 90}),
        (lambda: formatdate(0, usegmt=True), {1}),
        (lambda: "Fri, 31 Dec 9999 23:59:59 GMT", {86400}),
        (lambda: "Fri, 31 Dec 2099 23:59:59 -0000", {60}),
    ],
    ids=[
        *("zero", "seconds", "zeros before", "days", "absurd", "negative", "fraction", "word", "empty"),
        *("date", "past", "far", "no zone"),
    ],
)
def test_retry_after(function: Function, fake_ddm: FakeDDM, value, seconds):
    """DDM's Retry-After is passed on where it makes sense."""
    fake_ddm.behaviours["wait"] = error(429, "APIGW.0308", "x", Retry_After=value())
    assert function.ask("wait").body["retry_after_seconds"] in seconds


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error_code": "DBS.1", "error_msg": "a"}, "DBS.1", "a"),
        ({"errCode": "DBS.1", "externalMessage": "a"}, "DBS.1", "a"),
        ({"errorCode": "DBS.1", "errorMsg": "a"}, "DBS.1", "a"),
        ({"errorCode": "DBS.1", "errorMessage": "a"}, "DBS.1", "a"),
        ({"code": "DBS.1", "message": "a"}, "DBS.1", "a"),
        ({"error": {"code": 401, "message": "a", "title": "Unauthorized"}}, "401", "a"),
        ({"error": {"error_code": "DBS.1", "error_msg": "a"}}, "DBS.1", "a"),
        ({"error": {"errCode": "DBS.1", "externalMessage": "a"}}, "DBS.1", "a"),
        ({"error": "text"}, None, None),
        ({"error_code": True, "error_msg": ["a"]}, None, None),
        ({"error_code": "", "error_msg": " \n"}, None, None),
        ({"error_code": "DBS.1", "error_msg": "two\r\nlines"}, "DBS.1", "two lines"),
        ({"error_code": "DBS.1", "error_msg": "a" * 5000}, "DBS.1", "a" * 1000),
        ([{"error_code": "DBS.1"}], None, None),
        (b"<html><body>401</body></html>", None, None),
        (b"", None, None),
        (b"\xff", None, None),
        (b"[" * 100_000, None, None),
    ],
)
def test_shapes_of_error_bodies(function: Function, fake_ddm: FakeDDM, body, code, message):
    """Each shape that DDM, its gateway and IAM use is read; anything else says nothing."""
    fake_ddm.behaviours["shape"] = lambda _: FakeResponse(401, body)
    answer = function.ask("shape")
    upstream = answer.body["upstream"]
    assert (answer.problem, upstream["error_code"], upstream["error_msg"]) == ("unauthorized", code, message)


@pytest.mark.parametrize(
    ("header", "member", "request_id"),
    [
        ("r-1", None, "r-1"),
        (None, "r-2", "r-2"),
        ("r-1", "r-2", "r-1"),
        (None, 7, None),
        ("two words", None, None),
        ("r" * 129, None, None),
        (f"r-{TOKEN}", None, None),
        ("two words", "r-2", "r-2"),
        (f"r-{TOKEN}", "r-2", "r-2"),
        (None, f"r-{TOKEN}", None),
        (None, None, None),
    ],
)
def test_request_id(function: Function, fake_ddm: FakeDDM, header, member, request_id):
    """The request's ID is taken from the header or the body, if it looks like one."""
    body = {"error_code": "x"} | ({"request_id": member} if member else {})
    fake_ddm.behaviours["request_id"] = lambda _: FakeResponse(403, body, {"X-Request-Id": header or ""})
    assert function.ask("request_id").body["upstream"]["request_id"] == request_id


JOB = EVENT["job_id"]
CHECKS = [PRIMARY_KEYS]
TWENTY = [f"/pre_check_results/{number}/{name}" for number in range(10) for name in ("name", "status")]


@pytest.mark.parametrize(
    ("reply", "pointers"),
    [
        (FakeResponse(200, b""), []),
        (FakeResponse(200, b"<html></html>", {"Content-Type": "text/html"}), []),
        (FakeResponse(200, b'{"pre_check_results": ['), []),
        (FakeResponse(200, b'{"pre_check_results": [], "pre_check_results": []}'), []),
        (FakeResponse(200, b'{"pre_check_results": [{"name": "a", "status": "FAILED", "status": "SUCCESS"}]}'), []),
        (FakeResponse(200, b'{"pre_check_results": [], "x": NaN}'), []),
        (FakeResponse(200, b"[" * 100_000), []),
        (FakeResponse(200, b"\xff"), []),
        (FakeResponse(200, {"error_code": "DBS.280001", "error_msg": "Parameter error."}), ["/pre_check_results"]),
        (FakeResponse(200, {}), ["/pre_check_results"]),
        (FakeResponse(200, CHECKS), [""]),
        (FakeResponse(200, None), [""]),
        (FakeResponse(200, "PASS"), [""]),
        (FakeResponse(200, {"pre_check_results": {}}), ["/pre_check_results"]),
        (FakeResponse(200, {"pre_check_results": "SUCCESS"}), ["/pre_check_results"]),
        (FakeResponse(200, {"pre_check_results": [[]]}), ["/pre_check_results/0"]),
        (FakeResponse(200, {"pre_check_results": [*CHECKS, None]}), ["/pre_check_results/1"]),
        (FakeResponse(200, {"pre_check_results": [check("a", "success")]}), ["/pre_check_results/0/status"]),
        (FakeResponse(200, {"pre_check_results": [check("a", "RUNNING")]}), ["/pre_check_results/0/status"]),
        (FakeResponse(200, {"pre_check_results": [check("a", "")]}), ["/pre_check_results/0/status"]),
        (FakeResponse(200, {"pre_check_results": [{"name": "a"}]}), ["/pre_check_results/0/status"]),
        (FakeResponse(200, {"pre_check_results": [{"name": "a", "status": None}]}), ["/pre_check_results/0/status"]),
        (
            FakeResponse(200, {"pre_check_results": [{"name": "a", "status": ["SUCCESS"]}]}),
            ["/pre_check_results/0/status"],
        ),
        (FakeResponse(200, {"pre_check_results": [{"status": "SUCCESS"}]}), ["/pre_check_results/0/name"]),
        (
            FakeResponse(200, {"pre_check_results": [{"name": None, "status": "SUCCESS"}]}),
            ["/pre_check_results/0/name"],
        ),
        (FakeResponse(200, {"pre_check_results": [check("")]}), ["/pre_check_results/0/name"]),
        (FakeResponse(200, {"pre_check_results": [check(" ")]}), ["/pre_check_results/0/name"]),
        (FakeResponse(200, {"pre_check_results": [check("a") | {"note": 1}]}), ["/pre_check_results/0/note"]),
        (
            FakeResponse(200, {"pre_check_results": [check("a") | {"handling_suggestion": {}}]}),
            ["/pre_check_results/0/handling_suggestion"],
        ),
        (FakeResponse(200, {"pre_check_results": [{}] * 30}), TWENTY),
        (FakeResponse(200, {"job_id": "other", "pre_check_results": CHECKS}), ["/job_id"]),
        (FakeResponse(200, {"job_id": JOB.upper(), "pre_check_results": CHECKS}), ["/job_id"]),
        (FakeResponse(200, {"job_id": "", "pre_check_results": CHECKS}), ["/job_id"]),
        (FakeResponse(200, {"job_id": None, "pre_check_results": CHECKS}), ["/job_id"]),
        (FakeResponse(201, {"job_id": JOB, "pre_check_results": CHECKS}), []),
        (FakeResponse(202, {"job_id": JOB, "pre_check_results": CHECKS}), []),
        (FakeResponse(204, b""), []),
        (FakeResponse(206, {"job_id": JOB, "pre_check_results": CHECKS}), []),
        (FakeResponse(302, b"", {"Location": "/"}), []),
        (FakeResponse(304, b""), []),
        (FakeResponse(600, {}), []),
    ],
)
def test_answers_that_cannot_be_trusted(function: Function, fake_ddm: FakeDDM, reply, pointers):
    """What is not exactly an answer to the question is no verdict, and it is asked for once."""
    fake_ddm.behaviours["doubt"] = lambda _: reply
    answer = function.ask("doubt")
    assert (answer.status, answer.problem, answer.pointers) == (502, "upstream-contract", pointers)
    assert answer.body["upstream"]["status"] == reply.status
    assert len(fake_ddm.requests) == 1


def test_answer_without_job_id(function: Function, fake_ddm: FakeDDM):
    """DDM's documentation does not promise the job's ID; where it is missing there is nothing to compare."""
    fake_ddm.behaviours["bare"] = lambda _: FakeResponse(200, {"pre_check_results": CHECKS})
    assert function.ask("bare").summary["verdict"] == "PASS"


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("size", "status"), [(4 * 1024 * 1024, 200), (4 * 1024 * 1024 + 1, 502)], ids=["most", "over"])
def test_size_of_the_answer(function: Function, fake_ddm: FakeDDM, size, status, zipped):
    """An answer of more than 4 MiB is not read on."""
    text = json.dumps({"pre_check_results": CHECKS}).encode()
    body = text + b" " * (size - len(text))
    reply = FakeResponse(200, gzip.compress(body), {"Content-Encoding": "gzip"}) if zipped else FakeResponse(200, body)
    fake_ddm.behaviours["large"] = lambda _: reply
    assert function.ask("large").status == status


def test_hardly_any_time(start, fake_ddm: FakeDDM):
    """A timeout too short for anything is a timeout, whatever it meets first."""
    function = start(DDM_TIMEOUT_SECONDS="0.001")
    assert {function.ask("slow").problem for _ in range(50)} == {"upstream-timeout"}


@pytest.mark.parametrize(
    "accept",
    [
        "application/problem+json",
        "Application/Problem+JSON",
        "application/json, application/problem+json;q=0.5",
        "application/problem+json; charset=utf-8",
    ],
)
def test_problem_json_where_asked_for(function: Function, accept):
    """Who names application/problem+json gets it."""
    assert function.ask("fail", headers={"Accept": accept}).headers["Content-Type"] == "application/json"
    answer = function.send(b"", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/problem+json;q=0", "", ";;,q=x"])
def test_plain_json_otherwise(function: Function, accept):
    """Everybody else gets a type that low-code engines parse."""
    assert function.send(b"", headers={"Accept": accept}).headers["Content-Type"] == "application/json"


def test_no_connection(start):
    """Nobody listens: that is DDM's absence, after three attempts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = start(DDM_ENDPOINT=f"http://127.0.0.1:{free.getsockname()[1]}").ask()
    assert (answer.status, answer.problem, answer.body["upstream"]) == (502, "upstream-unavailable", None)
    assert answer.body["message"] == "DDM is not available: 127.0.0.1 refused the connection"
    assert answer.log["upstream"] == {
        "status": None,
        "attempts": 3,
        "elapsed_ms": answer.log["upstream"]["elapsed_ms"],
        "request_id": None,
    }


def test_name_that_is_not_known(start):
    """A region that does not exist shows as a host that has no address."""
    answer = start(DDM_ENDPOINT="https://ddm.{region}.invalid").ask(region="xx-nowhere-1")
    assert answer.problem == "upstream-unavailable"
    assert answer.body["message"].endswith("ddm.xx-nowhere-1.invalid could not be resolved; check the region")


def test_time_is_over(start, fake_ddm: FakeDDM):
    """The timeout is the whole time; what comes later does not count."""
    answer = start(DDM_TIMEOUT_SECONDS="0.1").ask("slow")
    assert (answer.status, answer.problem, answer.body["upstream"]) == (504, "upstream-timeout", None)
    assert answer.log["upstream"]["elapsed_ms"] < 250


def test_no_time_for_another_attempt(start, fake_ddm: FakeDDM):
    """A pause that would outlast the timeout is not begun."""
    answer = start(DDM_TIMEOUT_SECONDS="0.05").ask("down")
    assert (answer.problem, len(fake_ddm.requests)) == ("upstream-unavailable", 1)


def test_bug_is_one_internal_problem(start, monkeypatch, fake_ddm: FakeDDM):
    """A bug answers without a word of it and tells the log where it happened, without its text."""
    function = start()

    def fail(*_: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("ddm_precheck.ddm.Client.fetch", fail)
    answer = function.ask()
    assert (answer.status, answer.problem, answer.body["message"]) == (
        500,
        "internal",
        "The function failed; its log has more",
    )
    assert answer.log["severity"] == "ERROR"
    assert answer.log["exception"].startswith("RuntimeError < fail:")


@pytest.mark.parametrize("place", ["note", "handling_suggestion", "error_message", "error_detail_message", "name"])
@pytest.mark.parametrize("spelled", ["plain", "escaped"])
def test_token_in_a_check(function: Function, fake_ddm: FakeDDM, place, spelled):
    """Where DDM echoes the token in a check, it leaves masked, however JSON spells it."""
    body = json.dumps({"pre_check_results": [check("a", "FAILED") | {place: f"Token {TOKEN} is wrong", "level": 3}]})
    if spelled == "escaped":
        body = body.replace(TOKEN, "".join(f"\\u{ord(letter):04x}" for letter in TOKEN))
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(200, body.encode())
    answer = function.ask("echo")
    assert "Token *** is wrong" in answer.summary["checks"][0].values()


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_token_in_an_error(function: Function, fake_ddm: FakeDDM, status):
    """Where DDM echoes the token in an error, it leaves masked."""
    fake_ddm.behaviours["echo"] = error(status, f"DBS.{TOKEN}", f"invalid token:{TOKEN}", X_Request_Id=TOKEN)
    upstream = function.ask("echo").body["upstream"]
    assert (upstream["error_code"], upstream["error_msg"], upstream["request_id"]) == (
        "DBS.***",
        "invalid token:***",
        None,
    )


@pytest.mark.parametrize("token", ["e", "true", "PASS", "FAILED", "SUCCESS", "verdict", "null", '"', "\\", "{}"])
def test_odd_tokens_damage_nothing(function: Function, fake_ddm: FakeDDM, token):
    """However short or odd the token, the answer is the one that any other token gets."""
    texts = results(check("PASS", "WARN", note="true", error_message="e null FAILED SUCCESS verdict \\"))
    fake_ddm.behaviours["odd"] = texts
    expected, found = function.ask("odd").summary, function.ask("odd", token=token).summary
    for each in (expected, found):
        del each["checked_at"], each["upstream"]
    assert found == expected


def test_lone_surrogate_from_ddm(function: Function, fake_ddm: FakeDDM):
    """Half a character from DDM does not break an answer that strict readers have to read."""
    fake_ddm.behaviours["half"] = lambda _: FakeResponse(
        200, b'{"pre_check_results":[{"name":"a\\ud800","status":"WARN"}]}'
    )
    assert function.ask("half").summary["checks"][0]["name"] == "a?"
