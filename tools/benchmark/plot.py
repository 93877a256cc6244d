"""The CPU time of a request as a bar chart in SVG, readable in light and in dark mode."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

from tools.benchmark.measurements import FUNCTION, SIZES

_WIDTH: Final = 720
_LABEL_WIDTH: Final = 190
_MAX_BAR_WIDTH: Final = 430
_ROW_HEIGHT: Final = 22
_BAR_HEIGHT: Final = 14
_HEAD_HEIGHT: Final = 34
_GAP_HEIGHT: Final = 16

_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 }
.peer { fill: #8c959f }
.function { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .peer { fill: #6e7681 }
  .function { fill: #4493f8 }
}
"""


def svg(cpu: Mapping[str, Mapping[int, float]]) -> str:
    """Return a chart with one panel for each number of checks and one bar for each function."""
    panel_height = _HEAD_HEIGHT + _ROW_HEIGHT * len(cpu) + _GAP_HEIGHT
    height = panel_height * len(SIZES)
    panels = [line for row, size in enumerate(SIZES) for line in _panel(cpu, size, row * panel_height)]
    size_and_role = f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="title desc"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size_and_role}>',
            '<title id="title">CPU time of one request, by function and number of checks</title>',
            f'<desc id="desc">{escape(_describe(cpu))}</desc>',
            f"<style>{_STYLE}</style>",
            *panels,
            "</svg>\n",
        ]
    )


def _describe(cpu: Mapping[str, Mapping[int, float]]) -> str:
    """Return the figures as text, for a screen reader."""
    panels = {size: ", ".join(f"{name} {times[size]:.2f} ms" for name, times in cpu.items()) for size in SIZES}
    return " ".join(f"{size:,} checks: {panel}." for size, panel in panels.items())


def _panel(cpu: Mapping[str, Mapping[int, float]], size: int, top: int) -> Iterator[str]:
    yield f'<text class="head" x="0" y="{top + 20}">CPU time of one request, {size:,} checks</text>'
    longest = max(times[size] for times in cpu.values())
    for row, (name, times) in enumerate(cpu.items()):
        y = top + _HEAD_HEIGHT + row * _ROW_HEIGHT
        width = round(_MAX_BAR_WIDTH * times[size] / longest, 1)
        kind = "function" if name == FUNCTION else "peer"
        weight = ' class="head"' if name == FUNCTION else ""
        yield f'<text{weight} x="{_LABEL_WIDTH - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect class="{kind}" x="{_LABEL_WIDTH}" y="{y}" width="{width}" height="{_BAR_HEIGHT}" rx="2"/>'
        yield f'<text{weight} x="{_LABEL_WIDTH + width + 6}" y="{y + 12}">{times[size]:.2f} ms</text>'
