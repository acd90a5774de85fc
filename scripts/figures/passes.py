"""What each pass of an R-MBN does: `python -m scripts.figures.passes`, docs/figures/passes.webp.

A row for each degradation and one for several of them: the input, the image after each pass, the clean photograph. PSNR
is that of the whole photograph, of which a part is shown.
"""

from collections.abc import Sequence

import torch

from restore_lightning.data.sources.base import Pair
from restore_lightning.inference import Restorer
from restore_lightning.io.images import to_float, to_uint8
from scripts.figures.photographs import (
    EXAMPLES,
    FIGURES,
    UNKNOWN,
    Cell,
    decibels,
    degraded,
    part,
    sheet,
    write_webp,
)

SIZE = (144, 192)
"""Height and width of what is shown (pixels)."""


def row(name: str, pair: Pair, corner: tuple[int, int], restorer: Restorer) -> Sequence[Cell]:
    """The input, the image after each pass, the clean one."""
    with torch.inference_mode():
        passes = restorer.restore_steps(to_float(pair.degraded)[None], ())
    images = [(name, pair.degraded), *((f"after {one.factor}", to_uint8(one.image[0])) for one in passes)]
    cells = [Cell(image, f"{title}, {decibels(image, pair.clean)}") for title, image in images]
    return [Cell(part(cell.image, corner, SIZE), cell.caption) for cell in (*cells, Cell(pair.clean, "clean"))]


def main() -> None:
    """Write the figure."""
    restorer = Restorer.from_checkpoint(UNKNOWN)
    rows = [row(example.factor, degraded(example), example.corner, restorer) for example in EXAMPLES]
    write_webp(sheet(rows), FIGURES / "passes.webp", 120_000)


if __name__ == "__main__":
    main()
