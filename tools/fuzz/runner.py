"""Sends the cases to the function and collects the differences."""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any
from unittest import mock

from functions_framework import create_app

from tools.function_server import ROOT, clean_environment
from tools.fuzz.cases import SETTINGS, random_case
from tools.fuzz.comparison import Response, differences
from tools.fuzz.fake_ddm import FakeDDM, serve_fake_ddm
from tools.fuzz.model import Case, Settings
from tools.fuzz.oracle import expect


@dataclass(slots=True)
class Findings:
    """The differences by the number of the case, and the number of cases by expected outcome."""

    differences: dict[int, list[str]] = field(default_factory=dict)
    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)


def run(seed: int, numbers: Iterable[int]) -> Findings:
    """Run the cases with these numbers. The same seed and number give the same case."""
    findings = Findings()
    with serve_fake_ddm() as ddm:
        functions = {settings: _start(settings, ddm.url) for settings in SETTINGS}
        for number in numbers:
            case = random_case(f"{seed}:{number}")
            expected = expect(case)
            response = _send(functions[case.settings], ddm, case)
            found = list(differences(case, expected, response, ddm.requests))
            if found:
                findings.differences[number] = found
            outcome = expected.fields.get("code") or expected.fields.get("verdict") or ""
            findings.outcomes[expected.status, outcome] += 1
    return findings


def _start(settings: Settings, url: str) -> Any:
    variables = {"DDM_ENDPOINT": f"{url}/{{region}}" if settings.region_in_url else url, "DDM_MAX_WAIT_SECONDS": "0"}
    if settings.region:
        variables["DDM_REGION"] = settings.region
    if settings.expected_checks:
        variables["DDM_EXPECTED_CHECKS"] = str(settings.expected_checks)
    with mock.patch.dict(os.environ, clean_environment() | variables, clear=True):
        return create_app("precheck", str(ROOT / "main.py")).test_client()


def _send(function: Any, ddm: FakeDDM, case: Case) -> Response:
    ddm.reset(case.ddm)
    output = StringIO()
    with redirect_stdout(output):
        # The test client encodes headers as Latin-1, but real clients encode them as UTF-8.
        headers = {name: value.encode().decode("latin-1") for name, value in case.headers.items()}
        response = function.open("/", method=case.method, headers=headers, data=case.body)
    return Response(response.status_code, response.headers, response.text, output.getvalue().splitlines())
