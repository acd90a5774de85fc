"""What figures share: scikit-image's photographs, degraded by this package, scored, in a sheet with captions."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from restore_lightning.data.sources.base import CleanImage, Pair
from restore_lightning.data.sources.bundled import bundled_photograph
from restore_lightning.data.sources.synthetic import degrade
from restore_lightning.degradations import Blur, Degradation, Haze, Jpeg, Rain
from restore_lightning.io.images import to_array
from restore_lightning.metrics import protocol

FIGURES = Path(__file__).parents[2] / "docs/figures"
TOLD, UNKNOWN = "mbn-small", "r-mbn-small"
"""The shipped networks: one that is told the factor, and one that is told nothing."""
SEED = 0
QUALITIES = (82, 78, 74, 70, 66, 62)
"""WebP's, the first that is small enough."""
CAPTION, GAP = 24, 6
"""Pixels: height of a caption, between cells."""
PAPER, INK = "white", "#1b1f24"


class Example(NamedTuple):
    """A photograph and what degrades it."""

    factor: str
    photograph: str
    degradation: Degradation
    corner: tuple[int, int]
    """Top and left of the part that is shown (pixels)."""


class Cell(NamedTuple):
    """A picture of a sheet and the line below it."""

    image: Tensor
    """(3, H, W) uint8, the same size in all cells."""
    caption: str


EXAMPLES = (
    Example("rain", "rocket", Rain(levels=[0.65], lengths=[30], angles=[80]), (200, 230)),
    Example("blur", "chelsea", Blur(kernels=[(12, 3.5)]), (40, 90)),
    Example("jpeg", "coffee", Jpeg(qualities=[10]), (60, 180)),
    Example("haze", "astronaut", Haze(airlights=[0.9], betas=[0.16]), (20, 120)),
)
"""One for each factor that the shipped networks remove."""
FAILURES = (
    Example("rain", "rocket", Rain(levels=[1.5], lengths=[50], angles=[65]), (200, 230)),
    Example("blur", "chelsea", Blur(kernels=[(25, 12)]), (40, 90)),
    Example("jpeg", "coffee", Jpeg(qualities=[5]), (60, 180)),
    Example("haze", "astronaut", Haze(airlights=[0.7], betas=[0.6]), (20, 120)),
)
"""The same, degraded more strongly than any image that the networks were trained on."""


def degraded(example: Example) -> Pair:
    """The whole photograph, degraded, beside the clean one: the same bytes each time."""
    image, depth = bundled_photograph(example.photograph)
    return degrade(CleanImage.of_arrays(image, depth), example.factor, example.degradation, SEED)


def part(image: Tensor, corner: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The part of (3, H, W) that begins at a corner, of a height and width (pixels)."""
    (top, left), (height, width) = corner, size
    return image[:, top : top + height, left : left + width]


def decibels(image: Tensor, clean: Tensor) -> str:
    """The PSNR over the colours of two (3, H, W) uint8 images, as a caption says it."""
    return f"{float(protocol('mbn-rgb').psnr(image[None], clean[None])):.2f} dB"


def sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Rows of pictures, a caption below each."""
    height, width = rows[0][0].image.shape[1:]
    columns = len(rows[0])
    made = Image.new("RGB", (columns * (width + GAP) - GAP, len(rows) * (height + CAPTION)), PAPER)
    pen, font = ImageDraw.Draw(made), ImageFont.load_default(size=15)
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            left, top = column * (width + GAP), row * (height + CAPTION)
            made.paste(Image.fromarray(to_array(cell.image)), (left, top))
            pen.text((left + width / 2, top + height + 3), cell.caption, INK, font, anchor="ma")
    return made


def write_webp(image: Image.Image, path: Path, most: int) -> None:
    """Write a picture of at most so many bytes.

    Raises:
        RuntimeError: It would be larger in the least of `QUALITIES`.
    """
    for quality in QUALITIES:
        coded = io.BytesIO()
        image.save(coded, "WEBP", quality=quality, method=6)
        if coded.tell() <= most:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(coded.getvalue())
            return
    raise RuntimeError(f"{path.name} has {coded.tell():,} bytes at quality {quality}, more than {most:,}")
