"""Pairs that are made of clean images, degraded on the fly."""

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.base import CleanImage, CleanSource, Pair
from restore_lightning.degradations import STAND_IN_RANGE, Degradation, Mixture, stand_in_depth
from restore_lightning.io.images import to_float, to_uint8
from restore_lightning.io.pixel_windows import Window
from restore_lightning.seeding import derive, generator


class SyntheticPairs:
    """Training crops of clean images, degraded on the fly; a `PairSource`.

    Args:
        clean: Where they come from.
    """

    scale: int | None = None

    def __init__(self, clean: CleanSource) -> None:
        self.clean = clean
        self.images = clean.images

    def pair(self, index: SampleIndex, resolved: ResolvedFactor, seed: int) -> Pair:
        """See `PairSource`."""
        degradation = resolved.degradation
        assert degradation is not None
        scale = degradation.scale
        clean, window = self.clean.crop(index.crop, resolved.clean_size, degradation.margin, seed)
        # A pixel of low resolution begins where the crop begins.
        up, before = window.top % scale, window.left % scale
        height, width = clean.image.shape[1:]
        clean = clean.cut(Window(up, before, height - up, width - before)).in_colour(resolved.colour)
        pair = degrade(clean, index.factor, degradation, derive(seed, "degradation", index.number))
        return pair.cut(Window(window.top // scale, window.left // scale, resolved.crop_size, resolved.crop_size))


def degrade(clean: CleanImage, factor: str, degradation: Degradation, seed: int) -> Pair:
    """A clean image beside its degraded version as an 8-bit file would hold it, unless the degradation says otherwise.

    A photograph without depth gets a stand-in where the degradation needs one, and a crop its part of the whole
    photograph's: haze is as deep in training as where whole images are scored. Where the resolution is lowered, the
    clean image is cut to a multiple of the scale.

    Args:
        clean: The image.
        factor: What the degradation is called, unless it is a mixture of named factors.
        degradation: What degrades it.
        seed: Of the degradation's parameters.
    """
    clean = clean.multiple_of(degradation.scale)
    depth, of_whole = clean.depth, {}
    if depth is None and degradation.needs_depth:
        depth, of_whole = clean.window.cut(stand_in_depth(*clean.whole_size, seed)), {"depth_range": STAND_IN_RANGE}
    parameters = degradation.draw(generator(seed))
    degraded = degradation.apply(to_float(clean.image), depth, **of_whole, **parameters)
    degraded = to_uint8(degraded) if degradation.quantised else degraded
    return Pair(degraded, clean.image, tuple(parameters) if isinstance(degradation, Mixture) else (factor,))
