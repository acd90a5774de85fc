"""Photographs degraded, restored and clean: `python -m scripts.figures.restored`, three figures of docs/figures.

factors.webp and failures.webp: each factor of the shipped networks, restored by the one that is told it and by the one
that is told nothing; README's strip, restored.webp, has the latter alone. PSNR is that of the whole photograph,
of which a part is shown.
"""

from collections.abc import Sequence
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


class Versions(NamedTuple):
    """A photograph in all its versions, (3, H, W) uint8."""

    degraded: Tensor
    told: Tensor
    unknown: Tensor
    clean: Tensor


def versions(example: Example, told: Restorer, unknown: Restorer) -> Versions:
    """Degrade a photograph and restore it by both networks."""
    pair = degraded(example)
    given = to_float(pair.degraded)[None]
    with torch.inference_mode():
        by = [to_uint8(restorer.restore(given, [example.factor])[0]) for restorer in (told, unknown)]
    return Versions(pair.degraded, *by, pair.clean)


def row(example: Example, shown: Versions) -> list[Cell]:
    """Degraded, restored by either network, clean."""
    captions = [
        f"{name}, {decibels(image, shown.clean)}"
        for name, image in zip((example.factor, TOLD, UNKNOWN), shown[:3], strict=True)
    ]
    parts = [part(image, example.corner, SIZE) for image in shown]
    return [Cell(image, caption) for image, caption in zip(parts, (*captions, "clean"), strict=True)]


def strip(found: Sequence[tuple[Example, Versions]]) -> Image.Image:
    """Above the degraded photographs, below what the network that is told nothing makes of them."""
    cells = [
        [Cell(part(shown[which], example.corner, SIZE), text.format(example.factor)) for example, shown in found]
        for which, text in ((0, "{}"), (2, "restored"))
    ]
    return sheet(cells)


def main() -> None:
    """Write the figures."""
    told, unknown = Restorer.from_checkpoint(TOLD), Restorer.from_checkpoint(UNKNOWN)
    found, failures = (
        [(example, versions(example, told, unknown)) for example in examples] for examples in (EXAMPLES, FAILURES)
    )
    for name, shown in (("factors", found), ("failures", failures)):
        write_webp(sheet([row(*each) for each in shown]), FIGURES / f"{name}.webp", 120_000)
    write_webp(strip(found), FIGURES / "restored.webp", 100_000)


if __name__ == "__main__":
    main()
