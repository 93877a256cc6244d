"""The benchmark: one short run measures every implementation, and the report has the ratios."""

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from testing.function_server import ROOT
from tools.benchmark import report
from tools.benchmark.cold_start import COLD_STARTS
from tools.benchmark.measurements import FUNCTION, PEERS, Figures

SHORT_RUN = """
from tools.benchmark import __main__, measurements
measurements.SIZES.update(dict.fromkeys(measurements.SIZES, 2))
measurements.LOAD_SECONDS = 0.1
__main__.main()
"""
FIGURES = Figures(
    cpu={"peer": {2: 2.0, 8: 2.0, 20: 4.0, 1000: 8.0}, FUNCTION: {2: 1.0, 8: 3.0, 20: 1.0, 1000: 4.0}},
    peak_memory={"peer": 100.0, FUNCTION: 80.0},
    throughput={"peer": 500.0, FUNCTION: 1000.0},
    cold_start={
        FUNCTION: dict(zip(COLD_STARTS, (200.0, 600.0, 100.0, 300.0), strict=True)),
        "v1": dict(zip(COLD_STARTS, (250.0, 600.0), strict=False)),
    },
)


def test_short_run():
    command = [sys.executable, "-c", SHORT_RUN, "--rounds", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for name in (*PEERS, FUNCTION, *COLD_STARTS):
        assert f"\n| {name} | " in done.stdout


def test_table():
    text = report.markdown(FIGURES)
    cpu = "2.00 ms (0.50) | 2.00 ms (1.50) | 4.00 ms (0.25) | 8.00 ms (0.50)"
    assert f"| peer | {cpu} | 100 MiB (0.80) | 500 (2.00) |" in text
    assert "| HTTP function, bytecode | 200 ms | 250 ms (0.80) |" in text
    assert "the event function needs 0.50 of the CPU time of the HTTP function" in text


def test_plot():
    bars = [float(bar.get("width")) for bar in ET.fromstring(report.svg(FIGURES.cpu)).findall("{*}rect")]
    assert [bars[number] / bars[number + 1] for number in (0, 4, 6)] == pytest.approx([2, 4, 2])
