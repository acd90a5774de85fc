"""Random crops: which image each is cut from, where it lies, and whether images are large enough."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.image_files import read_header
from restore_lightning.io.image_folders import several_pictures
from restore_lightning.io.pixel_windows import Window
from restore_lightning.seeding import generator

log = logging.getLogger(__name__)


def shuffled_index(number: int, length: int, seed: int) -> int:
    """Which of `length` images crop `number` is cut from: each once per round, in an order shuffled by the seed."""
    round_, position = divmod(number, length)
    return int(_permutation(seed, round_, length)[position])


def random_window(shape: Sequence[int], size: int, number: int, seed: int) -> Window:
    """Where square crop `number` of side `size` lies in an image of (height, width), all in pixels."""
    height, width = shape
    rng = generator(seed, "crop", number)
    return Window(int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1)), size, size)


@lru_cache(maxsize=32)
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
    sizes, problems, several = [], [], {}
    for path in paths:
        try:
            height, width, pictures = read_header(path)
            sizes.append((height, width))
            if pictures > 1:
                several[str(path)] = pictures
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(f"{len(problems)} of {len(paths)} {what}: {shortened_list(problems)}", exit_code=1)
    if several:
        log.info("%s", several_pictures(several))
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
