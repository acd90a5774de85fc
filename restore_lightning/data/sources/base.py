"""What all sources of training crops share: clean images, pairs, where a crop lies, checks of sizes."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.image_files import image_size
from restore_lightning.io.images import Colour, from_array, in_colour
from restore_lightning.io.windows import Window, whole_multiple
from restore_lightning.seeding import generator


class CleanImage(NamedTuple):
    """A clean image and its depth.

    Args:
        image: (3, H, W) uint8.
        depth: (H, W) float32 in metres, or None where it is not known.
    """

    image: Tensor
    depth: Tensor | None

    @classmethod
    def of_arrays(cls, image: np.ndarray, depth: np.ndarray | None = None) -> "CleanImage":
        """The same from (H, W, 3) uint8 and (H, W) float32."""
        return cls(from_array(image), None if depth is None else torch.from_numpy(depth))

    def cut(self, window: Window) -> "CleanImage":
        """A part of it."""
        return CleanImage(window.cut(self.image), None if self.depth is None else window.cut(self.depth))

    def multiple_of(self, pixels: int) -> "CleanImage":
        """Without the last rows and columns that exceed a multiple of so many.

        Raises:
            UserError: Nothing would be left.
        """
        return self.cut(whole_multiple(self.image, pixels))

    def in_colour(self, colour: Colour) -> "CleanImage":
        """With all colours, or in gray."""
        return CleanImage(in_colour(self.image, colour), self.depth)


class Pair(NamedTuple):
    """A degraded and a clean image.

    Args:
        degraded: (C, H, W) uint8, or float where it is not quantised; C is 3, or 1 for gray images.
        clean: (C, scale * H, scale * W) uint8.
        factors: What degrades it, in the order of application.
    """

    degraded: Tensor
    clean: Tensor
    factors: tuple[str, ...]

    def cut(self, window: Window) -> "Pair":
        """A window of the degraded image, and the same part of the clean one."""
        scale = self.clean.shape[1] // self.degraded.shape[1]
        return Pair(window.cut(self.degraded), window.enlarged(scale).cut(self.clean), self.factors)

    def multiple_of(self, pixels: int) -> "Pair":
        """Without the last rows and columns that exceed a multiple of so many pixels of the degraded image."""
        return self.cut(whole_multiple(self.degraded, pixels))


class CleanSource(Protocol):
    """Clean crops for training, by number: the same number is the same crop in every process."""

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[CleanImage, Window]:
        """A crop and what surrounds it.

        Args:
            number: Which crop, from 0; unlimited.
            size: Side of the crop in pixels.
            margin: Pixels around it that are wanted too, where the image has them.
            seed: Of the crop's place; `number` already tells crops apart.

        Returns:
            The crop with its margin, and where in it the crop lies.
        """
        ...


class PairSource(Protocol):
    """Training crops, by number: the same number is the same pair in every process."""

    def pair(self, index: SampleIndex, resolved: ResolvedFactor, seed: int) -> Pair:
        """The crops of a sample.

        Args:
            index: Which sample.
            resolved: How its factor's crops are made.
            seed: Of everything random; the index already tells samples apart.
        """
        ...


def shuffled_index(number: int, length: int, seed: int) -> int:
    """Which of `length` images crop `number` is cut from: each once per round, in an order shuffled by the seed."""
    round_, position = divmod(number, length)
    return int(_permutation(seed, round_, length)[position])


def random_window(shape: Sequence[int], size: int, number: int, seed: int) -> Window:
    """Where square crop `number` of side `size` lies in an image of (height, width), all in pixels."""
    height, width = shape
    rng = generator(seed, "crop", number)
    return Window(int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1)), size, size)


@lru_cache(maxsize=8)
def _permutation(seed: int, round_: int, length: int) -> np.ndarray:
    return generator(seed, "round", round_).permutation(length)


def sizes_of(paths: Sequence[Path], what: str) -> list[tuple[int, int]]:
    """(height, width) of each image, from the headers.

    Args:
        paths: The images.
        what: They are, for the message.

    Raises:
        UserError: Files that are no images; all are counted, the first are named.
    """
    sizes, problems = [], []
    for path in paths:
        try:
            sizes.append(image_size(path))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(f"{len(problems)} of {len(paths)} {what}: {shortened_list(problems)}", exit_code=1)
    return sizes


def check_smallest(names: Sequence[Path | str], sizes: Sequence[tuple[int, int]], smallest: int) -> None:
    """Refuse images that crops of a size cannot be cut from.

    Args:
        names: Of the images.
        sizes: (height, width) of each.
        smallest: Side of the crops (pixels).

    Raises:
        UserError: Some are smaller; all are counted, the first are named.
    """
    small = [
        f"{name} ({width}x{height})"
        for name, (height, width) in zip(names, sizes, strict=True)
        if min(height, width) < smallest
    ]
    if small:
        raise UserError(
            f"crop_size {smallest} is larger than {len(small)} of {len(names)} images: {shortened_list(small)};"
            " choose a smaller --data.crop_size (or the factor's) or remove them"
        )
