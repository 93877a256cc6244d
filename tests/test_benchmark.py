"""The benchmark: the compared functions work, and the report and the plot contain the figures."""

import json
from xml.etree import ElementTree as ET

import pytest
import requests

from testing.function_server import ROOT, serve
from tools.benchmark import plot, report
from tools.benchmark.fake_ddm import prepared_ddm
from tools.benchmark.load import event
from tools.benchmark.measurements import FUNCTION, Latency

PEERS = sorted(path.stem for path in (ROOT / "tools/benchmark/peers").glob("*.py") if path.stem != "__init__")
FIGURES = report.Figures(
    cpu={"peer": {2: 2.0, 20: 4.0, 1000: 8.0}, FUNCTION: {2: 1.0, 20: 1.0, 1000: 4.0}},
    memory={"peer": 100.0, FUNCTION: 80.0},
    throughput={"peer": 500.0, FUNCTION: 1000.0},
    latency={FUNCTION: Latency(0.26, 0.3)},
    cold_start={FUNCTION: {"imports": 100.0, "with bytecode": 110.0, "without bytecode": 220.0}},
)


@pytest.mark.parametrize("source", ["main.py", *(f"tools/benchmark/peers/{name}.py" for name in PEERS)])
def test_compared_functions_handle_the_same_event(tmp_path, source):
    """Each compared function requests DDM's result and returns a verdict. The minimal function returns the result."""
    with prepared_ddm() as ddm:
        variables = {"DDM_ENDPOINT": ddm.url, "DDM_REGION": "cn-north-4"}
        with serve(variables, tmp_path / "log", source=source) as server:
            headers = {"Content-Type": "application/json"}
            response = requests.post(server.url, data=event("checks_20"), headers=headers, timeout=30)
            assert server.connections() >= 1
            assert 10 < server.memory() <= server.peak_memory() + 1
    body = response.json()
    assert response.status_code == 200
    if source.endswith("pooled_requests.py"):
        assert len(body["pre_check_results"]) == 20
    else:
        assert body["verdict"] == "PASS"


def test_report():
    """The report has each figure, the function's figure divided by it, and the CPU time of a million prechecks."""
    text = report.markdown(FIGURES)
    assert "| peer | 2.00 ms (0.50) | 4.00 ms (0.25) | 8.00 ms (0.50) | 100 MiB (0.80) | 500 (2.00) |" in text
    assert f"| {FUNCTION} | 1.00 ms | 1.00 ms | 4.00 ms | 80 MiB | 1000 |" in text
    assert f"| {FUNCTION} | 100 ms | 110 ms (1.10 times the import) | 220 ms (with bytecode: 0.50 times this) |" in text
    assert f"| {FUNCTION} | 260 ms (1.04 times DDM's time) | 300 ms (1.20 times DDM's time) |" in text
    assert "1,000 for 2 checks each, 1,000 for 20 checks each, 4,000 for 1,000 checks each." in text


def test_plot():
    """The plot is well-formed SVG. Its bars are proportional to the figures, and it has colours for dark mode."""
    text = plot.svg(FIGURES.cpu)
    widths = [float(bar.get("width")) for bar in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}rect")]
    assert [widths[number] / widths[number + 1] for number in (0, 2, 4)] == [2, 4, 2]
    assert f"2 checks: peer 2.00 ms, {FUNCTION} 1.00 ms." in text
    assert "prefers-color-scheme: dark" in text


def test_event_is_small_enough_for_one_segment():
    """The event is small: the benchmark's fake DDM requires each request to arrive in one TCP segment."""
    assert len(event("checks_1000")) < 1000
    assert json.loads(event("checks_2"))["db_name"] == "checks_2"
