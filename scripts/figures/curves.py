"""Draws a run's losses and scores: `python -m scripts.figures.curves [METRICS]`, docs/figures/curves.svg.

METRICS is a run's metrics.csv, runs/small/metrics.csv unless told: the charts are those of the report page. Where there
is none the figure stays as it is.
"""

import csv
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

from restore_lightning.reports import charts
from restore_lightning.reports.charts import Chart
from scripts.figures.photographs import FIGURES

FIGURE = FIGURES / "curves.svg"
METRICS = Path(__file__).parents[2] / "runs/small/metrics.csv"
HEAD, SPACE = 58, 36
"""Pixels: above a chart for its title, notes and legend; between two charts."""
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #5a626b; }
text.title { font-size: 15px; font-weight: 600; fill: #1c2024; }
text.x { text-anchor: middle; }
text.y { text-anchor: end; }
line { stroke: #dcdfe3; }
polyline { fill: none; stroke: var(--colour); stroke-width: 2; stroke-linejoin: round; }
circle { fill: var(--colour); }
.c0 { --colour: #0b62bd; } .c1 { --colour: #c2410c; } .c2 { --colour: #15803d; }
.c3 { --colour: #8b3fc7; } .c4 { --colour: #8a6100; } .c5 { --colour: #c0257a; }
.mean { --colour: #1c2024; stroke-dasharray: 5 4; }
"""


def draw(rows: Sequence[dict[str, str | None]]) -> str:
    """The figure as SVG, the charts side by side.

    Args:
        rows: Of a run's metrics.csv.
    """
    found = charts.curve_charts(rows)
    width = len(found) * (charts.WIDTH + SPACE) - SPACE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 0 {width + 16} {HEAD + charts.HEIGHT}">',
        f"<title>{escape(' and '.join(chart.title for chart in found))} by step</title>",
        f"<style>{STYLE}</style>",
        '<rect x="-8" width="100%" height="100%" rx="8" fill="#fff"/>',
    ]
    for place, chart in enumerate(found):
        lines += [f'<g transform="translate({place * (charts.WIDTH + SPACE)} {HEAD})">', *_chart(chart), "</g>"]
    return "\n".join([*lines, "</svg>\n"])


def _chart(chart: Chart) -> list[str]:
    """A chart in its own coordinates."""
    lines = [_text(0, 22 - HEAD, chart.title, "title"), _text(130, 22 - HEAD, " ".join(chart.notes))]
    x = 0
    for style, name in chart.legend:
        lines.append(f'<polyline class="{style}" points="{x},{40 - HEAD} {x + 20},{40 - HEAD}"/>')
        lines.append(_text(x + 26, 44 - HEAD, name))
        x += 50 + 7 * len(name)
    for tick in chart.y_ticks:
        lines.append(f'<line x1="{charts.LEFT}" x2="{charts.RIGHT}" y1="{tick.at}" y2="{tick.at}"/>')
        lines.append(_text(charts.LEFT - 6, tick.at + 4, tick.label, "y"))
    lines += [_text(tick.at, charts.BOTTOM + 18, tick.label, "x") for tick in chart.x_ticks]
    lines += [_text(0, 14, chart.y_label), _text(charts.RIGHT, charts.HEIGHT - 5, chart.x_label, "y")]
    lines += [f'<polyline class="{line.style}" points="{line.points}"/>' for line in chart.lines]
    if len(chart.dots) <= charts.MOST_POINTS:  # a curve of many points needs none
        lines += [f'<circle class="{dot.style}" cx="{dot.x}" cy="{dot.y}" r="3"/>' for dot in chart.dots]
    return lines


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text{f" class={style!r}" if style else ""} x="{x}" y="{y}">{escape(text)}</text>'


def main(metrics: Path = METRICS) -> None:
    """Draw a run's curves, if it is there."""
    if not metrics.is_file():
        print(f"{metrics} is not there: {FIGURE.name} stays as it is")
        return
    with metrics.open(newline="", encoding="utf-8") as file:
        FIGURE.write_text(draw(list(csv.DictReader(file))), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
