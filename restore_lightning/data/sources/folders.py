"""Folders of images: clean ones, and degraded ones beside the clean ones of the same names."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.image_choice import EVERY_IMAGE, ImageChoice
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.base import CleanImage, Pair
from restore_lightning.data.sources.crops import check_smallest, random_window, shuffled_index, sizes_of
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.files import check_is_folder
from restore_lightning.io.image_folders import find_images, left_out, match, no_images
from restore_lightning.io.images import Colour, in_colour, read_image
from restore_lightning.io.pixel_windows import Window
from restore_lightning.io.waiting import read_patiently

log = logging.getLogger(__name__)


class PairedFiles(NamedTuple):
    """A degraded (or restored) image and the clean one.

    Args:
        name: Path within the folders, without suffix.
        degraded: Its file.
        clean: Its file.
    """

    name: str
    degraded: Path
    clean: Path

    def read(self, factor: str, colour: Colour = "rgb") -> Pair:
        """Both images."""
        degraded, clean = (in_colour(read_photograph(path), colour) for path in (self.degraded, self.clean))
        return Pair(degraded, clean, (factor,))


def match_pairs(degraded: Path, clean: Path, choice: ImageChoice = EVERY_IMAGE) -> list[PairedFiles]:
    """The images of two folders, by their path without suffix or as the user says; or two files.

    Raises:
        UserError: As `match`, or images without a partner; all are counted.
    """
    if choice != EVERY_IMAGE:
        return [PairedFiles(*pair) for pair in choice.pairs(degraded, clean)]
    matches = match(degraded, clean)
    if matches.others:
        log.info("%s", left_out(matches.others))
    problems = matches.problems()
    if problems:
        raise UserError(
            f"{'; '.join(problems)}. Images are matched by name without suffix, unless counterpart says how"
        )
    return [PairedFiles(name, *paths) for name, paths in matches.pairs.items()]


def scale_of(pairs: Sequence[PairedFiles]) -> int:
    """How many times larger than the degraded images the clean ones are, from the headers.

    Raises:
        UserError: Files that cannot be read, or sizes that do not fit or differ in scale; the first are named.
    """
    return _scale(pairs, _degraded_sizes(pairs))


def _degraded_sizes(pairs: Sequence[PairedFiles]) -> list[tuple[int, int]]:
    return sizes_of([pair.degraded for pair in pairs], "pairs")


def _scale(pairs: Sequence[PairedFiles], degraded: Sequence[tuple[int, int]]) -> int:
    scales, problems = set(), []
    clean = sizes_of([pair.clean for pair in pairs], "pairs")
    for pair, (h, w), (height, width) in zip(pairs, degraded, clean, strict=True):
        scale = height // h
        if (h * scale, w * scale) != (height, width):
            problems.append(f"{pair.degraded} is {w}x{h}, {pair.clean} is {width}x{height}")
        scales.add(scale)
    if problems:
        raise UserError(f"{len(problems)} of {len(pairs)} pairs differ in size: {shortened_list(problems)}")
    if len(scales) > 1:
        raise UserError(f"the clean images are {' and '.join(map(str, sorted(scales)))} times as large: give one scale")
    return scales.pop()


class FolderPairs:
    """Training crops of paired files, each pair once per round; a `PairSource`.

    Args:
        degraded: Folder of degraded images.
        clean: Folder of the clean ones.
        crop_size: Side of the degraded crops (pixels).
        choice: Which of them, and which belong together.

    Raises:
        UserError: Files without partner, or of sizes that do not fit.
    """

    def __init__(self, degraded: Path, clean: Path, crop_size: int, choice: ImageChoice = EVERY_IMAGE) -> None:
        self.pairs = match_pairs(degraded, clean, choice)
        sizes = _degraded_sizes(self.pairs)
        self.scale: int | None = _scale(self.pairs, sizes)
        self.images: int | None = len(self.pairs)
        check_smallest([pair.degraded for pair in self.pairs], sizes, crop_size)

    def pair(self, index: SampleIndex, resolved: ResolvedFactor, seed: int) -> Pair:
        """See `PairSource`."""
        found = self.pairs[shuffled_index(index.crop, len(self.pairs), seed)].read(index.factor, resolved.colour)
        return found.cut(random_window(found.degraded.shape[1:], resolved.crop_size, index.crop, seed))


class CleanFolder:
    """Crops of the photographs below a folder, each once per round in an order of its own; a `CleanSource`.

    Args:
        root: The folder; subfolders count.
        smallest: Shortest side that every photograph must have, in pixels.
        choice: Which of them.

    Raises:
        UserError: No such folder, no images, files that cannot be read or are too small; all are named.
    """

    def __init__(self, root: Path, smallest: int, choice: ImageChoice = EVERY_IMAGE) -> None:
        self.paths = choice.of(root, photographs(root))
        check_smallest(self.paths, sizes_of(self.paths, f"files in {root}"), smallest)
        self.images: int | None = len(self.paths)

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[CleanImage, Window]:
        """See `CleanSource`; photographs have no depth."""
        image = read_photograph(self.paths[shuffled_index(number, len(self.paths), seed)])
        outer, inner = random_window(image.shape[1:], size, number, seed).with_margin(margin, *image.shape[1:])
        return CleanImage(image, None).cut(outer), inner


def read_photograph(path: Path) -> Tensor:
    """An image file as (3, H, W) uint8; see `read_patiently`."""
    return read_patiently(lambda: read_image(path), path)


def photographs(root: Path) -> list[Path]:
    """The image files below a folder.

    Raises:
        UserError: No such folder, or no image in it.
    """
    check_is_folder(root, "a folder of images")
    files = find_images(root)
    if not files.images:
        raise no_images(root, files)
    if files.others:
        log.info("%s: %s", root, left_out(files.others))
    return files.images
