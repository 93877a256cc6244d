"""The figures of one run as Markdown."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tools.benchmark.measurements import FUNCTION, SIZES, THROUGHPUT_CHECKS, Latency
from tools.benchmark.peers import THREADS


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run, by the name of the function.

    - ``cpu``: CPU milliseconds of a request, by number of checks.
    - ``memory``: MiB of resident memory of a warm instance.
    - ``throughput``: requests per second on one core; empty on a machine with one core.
    - ``latency``: the latency of a request under load.
    - ``cold_start``: CPU milliseconds of a cold start by kind.
    """

    cpu: Mapping[str, Mapping[int, float]]
    memory: Mapping[str, float]
    throughput: Mapping[str, float]
    latency: Mapping[str, Latency]
    cold_start: Mapping[str, Mapping[str, float]]


def markdown(figures: Figures) -> str:
    """Return the report: one table for each kind of figure, with the conditions of the run."""
    machine = f"CPython {platform.python_version()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}"
    blocks = [
        f"{machine}. In brackets: the figure of this function divided by the figure of the row.",
        _table(_requests(figures)),
        _table(_cold_start(figures)),
        _table(_latency(figures)),
        _cost(figures),
    ]
    return "\n\n".join(blocks) + "\n"


def _requests(figures: Figures) -> Iterator[list[str]]:
    sizes = [f"CPU, {size:,} checks" for size in SIZES]
    yield ["", *sizes, "warm memory", f"requests/s on one core, {THROUGHPUT_CHECKS} checks"]
    for name, cpu in figures.cpu.items():
        cells = [_figure_and_ratio(cpu[size], figures.cpu[FUNCTION][size], "{:.2f} ms", name) for size in SIZES]
        memory = _figure_and_ratio(figures.memory[name], figures.memory[FUNCTION], "{:.0f} MiB", name)
        rate = "not measured"
        if figures.throughput:
            rate = _figure_and_ratio(figures.throughput[name], figures.throughput[FUNCTION], "{:.0f}", name)
        yield [name, *cells, memory, rate]


def _figure_and_ratio(value: float, function: float, style: str, name: str) -> str:
    return style.format(value) + ("" if name == FUNCTION else f" ({function / value:.2f})")


def _cold_start(figures: Figures) -> Iterator[list[str]]:
    yield ["cold start, CPU", "import of the dependencies", "start with bytecode", "start without bytecode"]
    for name, times in figures.cold_start.items():
        imports, compiled, source = (times[kind] for kind in ("imports", "with bytecode", "without bytecode"))
        cells = [f"{imports:.0f} ms", f"{compiled:.0f} ms ({compiled / imports:.2f} times the import)"]
        yield [name, *cells, f"{source:.0f} ms (with bytecode: {compiled / source:.2f} times this)"]


def _latency(figures: Figures) -> Iterator[list[str]]:
    ddm = next(iter(figures.latency.values())).ddm
    yield [f"{THREADS} clients, DDM takes {ddm * 1000:.0f} ms", "median", "95th percentile"]
    for name, latency in figures.latency.items():
        values = (latency.median, latency.percentile_95)
        yield [name, *(f"{value * 1000:.0f} ms ({value / ddm:.2f} times DDM's time)" for value in values)]


def _cost(figures: Figures) -> str:
    costs = [f"{figures.cpu[FUNCTION][size] * 1000:,.0f} for {size:,} checks each" for size in SIZES]
    return f"CPU-seconds of a million prechecks: {', '.join(costs)}."


def _table(rows: Iterator[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])
