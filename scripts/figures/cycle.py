"""Draws the first cycles of minibatches of small.yaml: `python -m scripts.figures.cycle`, docs/figures/cycle.svg."""

from collections.abc import Mapping
from html import escape
from typing import Any

import yaml

from restore_lightning.data.cyclic_schedule import CyclicSchedule
from restore_lightning.shipped_configs import find_config
from scripts.figures.photographs import FIGURES

FIGURE = FIGURES / "cycle.svg"
CONFIG = "small.yaml"
CYCLES = 5
BOX, HEIGHT, GAP, LEFT, TOP = 118, 40, 8, 84, 16
"""Pixels: a minibatch's width and height, between two, where the first one begins."""
COLOURS = ("#1c7ed6", "#e8590c", "#2b8a3e", "#9c36b5", "#846358", "#c2255c")
"""Of the factors, in the order of the config."""
STYLE = """
text { font: 15px system-ui, sans-serif; fill: #1b1f24; }
text.in { fill: #fff; text-anchor: middle; }
text.small { font-size: 13px; fill: #495057; }
"""


def schedule(config: Mapping[str, Any]) -> CyclicSchedule:
    """The schedule that training by a config has."""
    factors = config["data"]["factors"]
    return CyclicSchedule(
        {name: given.get("minibatches", 1) for name, given in factors.items()}, config["seed_everything"]
    )


def draw(config: Mapping[str, Any], cycles: int = CYCLES) -> str:
    """The figure as SVG: a row for each cycle, a box for each optimiser step.

    Args:
        config: Of `restore fit`, of a multi-branch network.
        cycles: How many are drawn.
    """
    plan, data = schedule(config), config["data"]
    colours = dict(zip(plan.counts, COLOURS, strict=False))
    width = max(LEFT + plan.length * (BOX + GAP), 700)
    bottom = TOP + cycles * (HEIGHT + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 24 * len(plan.counts) + 12}">',
        f"<title>The first {cycles} cycles of {CONFIG}: which factor each optimiser step trains</title>",
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" rx="8" fill="#fff"/>',
    ]
    for cycle in range(cycles):
        y = TOP + cycle * (HEIGHT + GAP)
        lines.append(f'<text x="12" y="{y + 26}">cycle {cycle}</text>')
        for place, factor in enumerate(plan.order(cycle)):
            x = LEFT + place * (BOX + GAP)
            lines.append(f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6" fill="{colours[factor]}"/>')
            lines.append(f'<text class="in" x="{x + BOX / 2:.0f}" y="{y + 26}">{escape(factor)}</text>')
    for row, (factor, count) in enumerate(plan.counts.items()):
        given, y = data["factors"][factor], bottom + 24 * row
        size, crop = (given.get(key, data[key]) for key in ("batch_size", "crop_size"))
        times = "one minibatch" if count == 1 else f"{count} minibatches"
        lines.append(f'<rect x="{LEFT}" y="{y + 2}" width="14" height="14" rx="3" fill="{colours[factor]}"/>')
        told = f"{factor}: {times} a cycle, each of {size} crops of {crop}x{crop} pixels"
        lines.append(f'<text class="small" x="{LEFT + 24}" y="{y + 14}">{escape(told)}</text>')
    return "\n".join([*lines, "</svg>\n"])


def config() -> dict[str, Any]:
    """The config whose cycles are drawn."""
    found: dict[str, Any] = yaml.safe_load(find_config(CONFIG).read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    FIGURE.write_text(draw(config()), encoding="utf-8")
