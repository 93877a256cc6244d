"""The figures of one run as Markdown, and the CPU times as a bar chart in SVG, for light and dark mode."""

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from tools.benchmark.cold_start import COLD_STARTS
from tools.benchmark.measurements import FUNCTION, SIZES, THROUGHPUT_CHECKS, Figures

_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.bold { font-weight: 600 }
.peer { fill: #8c959f }
.function { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .peer { fill: #6e7681 }
  .function { fill: #4493f8 }
}
"""


def markdown(figures: Figures) -> str:
    """Return the tables, with the conditions of the run."""
    machine = f"CPython {platform.python_version()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}"
    sizes = [f"CPU, {size:,} checks" for size in SIZES]
    requests = [["", *sizes, "peak memory", f"requests/s on one core, {THROUGHPUT_CHECKS} checks"]]
    for name, cpu in figures.cpu.items():
        cells = [_cell(cpu[size], figures.cpu[FUNCTION][size], "{:.2f} ms", name) for size in SIZES]
        cells.append(_cell(figures.peak_memory[name], figures.peak_memory[FUNCTION], "{:.0f} MiB", name))
        if figures.throughput:
            cells.append(_cell(figures.throughput[name], figures.throughput[FUNCTION], "{:.0f}", name))
        requests.append([name, *cells])
    starts = [["cold start, CPU", *figures.cold_start]]
    for kind in COLD_STARTS:
        function = figures.cold_start[FUNCTION][kind]
        row = ((name, times.get(kind)) for name, times in figures.cold_start.items())
        starts.append([kind, *(_cell(value, function, "{:.0f} ms", name) if value else "-" for name, value in row)])
    http, _, event, _ = (figures.cold_start[FUNCTION][kind] for kind in COLD_STARTS)
    costs = [f"{figures.cpu[FUNCTION][size] * 1000:,.0f} with {size:,} checks" for size in SIZES]
    return f"""\
{machine}. In brackets: the figure of this function divided by that figure.

{_table(requests)}

{_table(starts)}

With bytecode, the event function needs {event / http:.2f} of the CPU time of the HTTP function.

CPU seconds of a million prechecks: {", ".join(costs)}.
"""


def _cell(value: float, function: float, style: str, name: str) -> str:
    return style.format(value) + ("" if name == FUNCTION else f" ({function / value:.2f})")


def _table(rows: Iterable[Iterable[str]]) -> str:
    head, *body = (list(row) for row in rows)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def svg(cpu: Mapping[str, Mapping[int, float]]) -> str:
    """Return a chart with one panel for each number of checks and one bar for each implementation."""
    lines = [f"<style>{_STYLE}</style>"]
    y = 0
    for size in SIZES:
        lines.append(f'<text class="bold" x="0" y="{y + 20}">CPU time of one request, {size:,} checks</text>')
        y += 34
        for name, times in cpu.items():
            kind, weight = ("function", ' class="bold"') if name == FUNCTION else ("peer", "")
            width = round(430 * times[size] / max(each[size] for each in cpu.values()), 1)
            lines += [
                f'<text{weight} x="192" y="{y + 12}" text-anchor="end">{name}</text>',
                f'<rect class="{kind}" x="200" y="{y}" width="{width}" height="14" rx="2"/>',
                f'<text{weight} x="{206 + width}" y="{y + 12}">{times[size]:.2f} ms</text>',
            ]
            y += 22
        y += 16
    figures = "; ".join(
        f"{name} {time:.2f} ms with {size:,} checks" for name in cpu for size, time in cpu[name].items()
    )
    title = f"<title>CPU time of one request</title>\n<desc>{figures}</desc>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {y}" role="img">'
    return "\n".join([head, title, *lines, "</svg>\n"])
