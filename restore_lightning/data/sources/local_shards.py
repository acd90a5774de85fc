"""Training crops and scored images from tar shards: pairs, or clean images that are degraded on the fly."""

import logging
from collections.abc import Sequence

import numpy as np

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.shards.reader import CLEAN, DEGRADED, ShardSet
from restore_lightning.data.sources.base import CleanImage, Pair, PairSource
from restore_lightning.data.sources.crops import check_smallest, random_window, shuffled_index
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.degradations import Degradation
from restore_lightning.errors import UserError
from restore_lightning.io.images import Colour, in_colour
from restore_lightning.io.pixel_windows import Window

log = logging.getLogger(__name__)

TRAIN = "train"


def version_of(
    versions: Sequence[str], factor: str, where: str, degradation: Degradation | None, chosen: bool = False
) -> str | None:
    """Which version of stored images are a factor's data: the one of its name, or the one that says "degraded".

    Args:
        versions: Those that there are, without the clean one.
        factor: The factor.
        where: They are, for messages.
        degradation: What degrades clean images.
        chosen: Whether the user chose it, instead of that of the factor's name.

    Returns:
        The version; None: there are clean images only.

    Raises:
        UserError: There are degraded images of other factors, or that would be degraded again, or clean images that
            nothing degrades.
    """
    found = next((name for name in (factor, DEGRADED) if name in versions), None)
    if versions and found is None:
        raise UserError(f"{where} has no images of {factor!r}: it has {', '.join(versions)}; rename the factor")
    key = f"data.factors.{factor}.degradation"
    if found is not None and chosen:
        raise UserError(
            f"{key} is set, but the images of {where} are degraded already: set it to null, or give clean images"
        )
    if found is None and degradation is None:
        raise UserError(f"{where} has clean images only, and there is no degradation named {factor!r}: set {key}")
    return found


def shard_source(shards: ShardSet, factor: str, resolved: ResolvedFactor, chosen: bool) -> PairSource:
    """A factor's training data in a set of shards.

    Args:
        shards: The set.
        factor: The factor.
        resolved: How its crops are made.
        chosen: Whether its degradation was chosen, instead of that of the factor's name.

    Raises:
        UserError: There is nothing to train on, or images are degraded already.
    """
    if TRAIN not in shards.splits:
        raise UserError(
            f"{shards.folder} has no training images, only {', '.join(shards.splits)}: name another set for factor"
            f" {factor!r}, or pack it with --split train"
        )
    where = str(shards.folder)
    version = version_of(shards.versions(TRAIN), factor, where, resolved.degradation, chosen)
    log.info("%s: training on the %d images of %s", factor, len(shards.rows(TRAIN, version or CLEAN)), where)
    if version is not None:
        return ShardPairs(shards, version, resolved.crop_size)
    return SyntheticPairs(CleanShards(shards, resolved.clean_size))


class ShardPairs:
    """Training crops of a version of the images of a set of shards, each image once per round; a `PairSource`.

    Args:
        shards: The set.
        version: Of its training images.
        crop_size: Side of the degraded crops (pixels).

    Raises:
        UserError: Images that are too small.
    """

    def __init__(self, shards: ShardSet, version: str, crop_size: int) -> None:
        self.shards = shards
        self.rows = shards.rows(TRAIN, version)
        self.images: int | None = len(self.rows)
        first = int(self.rows[0])
        self.scale: int | None = shards.size(shards.clean_of(first))[0] // shards.size(first)[0]
        check_shard_sizes(shards, self.rows, crop_size)

    def pair(self, index: SampleIndex, resolved: ResolvedFactor, seed: int) -> Pair:
        """See `PairSource`."""
        row = int(self.rows[shuffled_index(index.crop, len(self.rows), seed)])
        window = random_window(self.shards.size(row), resolved.crop_size, index.crop, seed)
        return shard_pair(self.shards, row, index.factor, window, resolved.colour)


class CleanShards:
    """The clean training images of a set of shards, to be degraded on the fly: a `CleanSource`.

    Args:
        shards: The set.
        smallest: Shortest side that every image must have, in pixels.

    Raises:
        UserError: Images that are too small.
    """

    def __init__(self, shards: ShardSet, smallest: int) -> None:
        self.shards = shards
        self.rows = shards.rows(TRAIN, CLEAN)
        self.images: int | None = len(self.rows)
        check_shard_sizes(shards, self.rows, smallest)

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[CleanImage, Window]:
        """See `CleanSource`; stored photographs have no depth."""
        row = int(self.rows[shuffled_index(number, len(self.rows), seed)])
        height, width = self.shards.size(row)
        outer, inner = random_window((height, width), size, number, seed).with_margin(margin, height, width)
        return CleanImage(self.shards.read(row, outer), None, (outer.top, outer.left), (height, width)), inner


def check_shard_sizes(shards: ShardSet, rows: np.ndarray, smallest: int) -> None:
    """Refuse stored images that crops of a size cannot be cut from; see `check_smallest`."""
    sizes = shards.sizes(rows)
    if sizes.min() < smallest:
        names = [f"{shards.folder}: {shards.name(row)}" for row in rows.tolist()]
        check_smallest(names, [(height, width) for height, width in sizes.tolist()], smallest)


def shard_pair(shards: ShardSet, row: int, factor: str, window: Window | None = None, colour: Colour = "rgb") -> Pair:
    """A degraded image of a set of shards beside its clean one, or a window of both.

    Args:
        shards: The set.
        row: The degraded image.
        factor: What degrades it, where the set does not say.
        window: Which part of the degraded image; None: all of it.
        colour: See `FactorConfig`.
    """
    clean = shards.clean_of(row)
    part = window
    if window is not None:
        part = window.enlarged(shards.size(clean)[0] // shards.size(row)[0])
    images = [in_colour(shards.read(*found), colour) for found in ((row, window), (clean, part))]
    return Pair(images[0], images[1], shards.factors(row) or (factor,))
