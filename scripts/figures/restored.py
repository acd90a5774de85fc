"""Photographs degraded, restored and clean: `python -m scripts.figures.restored [CHECKPOINT]`, into docs/figures.

factors.webp and failures.webp: each factor of the shipped networks, restored by the one that is told it and by the one
that is told nothing; README's strip, restored.webp, has the latter alone. minutes.webp: by a network that was trained
for minutes, beside the one that was trained for hours; CHECKPOINT is the quickstart's, step 1, unless told, and where
there is none the figure stays as it is. PSNR is that of the whole photograph, of which a part is shown.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from restore_lightning.inference import Restorer
from restore_lightning.io.images import to_float, to_uint8
from scripts.figures.photographs import (
    EXAMPLES,
    FAILURES,
    FIGURES,
    TOLD,
    UNKNOWN,
    Cell,
    Example,
    decibels,
    degraded,
    part,
    sheet,
    write_webp,
)

SIZE = (190, 290)
"""Height and width of what is shown (pixels)."""
QUICKSTART = Path(__file__).parents[2] / "runs/quickstart/checkpoints/best.ckpt"
MINUTES = "750 steps"
"""What the quickstart's network is called."""


class Versions(NamedTuple):
    """A photograph in all its versions, (3, H, W) uint8."""

    degraded: Tensor
    restored: dict[str, Tensor]
    """By the network's name."""
    clean: Tensor


def versions(example: Example, networks: Mapping[str, Restorer]) -> Versions:
    """Degrade a photograph and restore it by each network, which is told the factor if it asks for it."""
    pair = degraded(example)
    given = to_float(pair.degraded)[None]
    with torch.inference_mode():
        by = {name: to_uint8(network.restore(given, [example.factor])[0]) for name, network in networks.items()}
    return Versions(pair.degraded, by, pair.clean)


def row(example: Example, shown: Versions) -> list[Cell]:
    """Degraded, restored by each network, clean."""
    scored = {example.factor: shown.degraded, **shown.restored}
    cells = [Cell(image, f"{name}, {decibels(image, shown.clean)}") for name, image in scored.items()]
    return [Cell(part(image, example.corner, SIZE), text) for image, text in (*cells, Cell(shown.clean, "clean"))]


def strip(found: Sequence[tuple[Example, Versions]]) -> Image.Image:
    """Above the degraded photographs, below what the network that is told nothing makes of them."""
    rows = [
        [Cell(part(shown.degraded, example.corner, SIZE), example.factor) for example, shown in found],
        [Cell(part(shown.restored[UNKNOWN], example.corner, SIZE), "restored") for example, shown in found],
    ]
    return sheet(rows)


def write_sheet(name: str, found: Sequence[tuple[Example, Versions]]) -> None:
    """Write a figure of one row for each photograph."""
    write_webp(sheet([row(*each) for each in found]), FIGURES / f"{name}.webp", 120_000)


def main(checkpoint: Path = QUICKSTART) -> None:
    """Write the figures."""
    if checkpoint != QUICKSTART and not checkpoint.is_file():
        raise SystemExit(f"{checkpoint}: no such file")
    networks = {name: Restorer.from_checkpoint(name) for name in (TOLD, UNKNOWN)}
    found, failures = (
        [(example, versions(example, networks)) for example in examples] for examples in (EXAMPLES, FAILURES)
    )
    write_sheet("factors", found)
    write_sheet("failures", failures)
    write_webp(strip(found), FIGURES / "restored.webp", 100_000)
    if not checkpoint.is_file():
        print(f"{checkpoint} is not there: minutes.webp stays as it is")
        return
    times = {MINUTES: Restorer.from_checkpoint(str(checkpoint)), TOLD: networks[TOLD]}
    write_sheet("minutes", [(example, versions(example, times)) for example in EXAMPLES])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
