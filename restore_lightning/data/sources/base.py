"""What sources of training crops give: clean images and pairs, by number."""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.io.images import Colour, from_array, in_colour
from restore_lightning.io.pixel_windows import Keep, Window, whole_multiple


class CleanImage(NamedTuple):
    """A clean image and its depth.

    Args:
        image: (3, H, W) uint8.
        depth: (H, W) float32 in metres, or None where it is not known.
        corner: (top, left) in the whole image, in pixels.
        cut_from: (height, width) of the whole image; None: it is the whole one.
    """

    image: Tensor
    depth: Tensor | None
    corner: tuple[int, int] = (0, 0)
    cut_from: tuple[int, int] | None = None

    @classmethod
    def of_arrays(cls, image: np.ndarray, depth: np.ndarray | None = None) -> "CleanImage":
        """The same from (H, W, 3) uint8 and (H, W) float32."""
        return cls(from_array(image), None if depth is None else torch.from_numpy(depth))

    def cut(self, window: Window) -> "CleanImage":
        """A part of it."""
        top, left = self.corner
        depth = None if self.depth is None else window.cut(self.depth)
        return CleanImage(window.cut(self.image), depth, (top + window.top, left + window.left), self.whole_size)

    @property
    def window(self) -> Window:
        """Its place in the whole image."""
        return Window(*self.corner, *self.image.shape[1:])

    @property
    def whole_size(self) -> tuple[int, int]:
        """(height, width) of the whole image."""
        height, width = self.image.shape[1:]
        return self.cut_from or (height, width)

    def multiple_of(self, pixels: int, keep: Keep = "top-left") -> "CleanImage":
        """Cut to sides that are multiples of so many pixels, see `whole_multiple`.

        Raises:
            UserError: Nothing would be left.
        """
        return self.cut(whole_multiple(self.image, pixels, keep))

    def in_colour(self, colour: Colour) -> "CleanImage":
        """With all colours, or in gray."""
        return self._replace(image=in_colour(self.image, colour))


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

    def multiple_of(self, pixels: int, keep: Keep = "top-left") -> "Pair":
        """Cut so that the degraded image's sides are multiples of so many pixels, see `whole_multiple`."""
        return self.cut(whole_multiple(self.degraded, pixels, keep))


class CleanSource(Protocol):
    """Clean crops for training, by number: the same number is the same crop in every process."""

    images: int | None
    """How many images they are cut from, each once per round; None: any number, or a stream's."""

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

    images: int | None
    """See `CleanSource`."""
    scale: int | None
    """How many times larger the clean images of its pairs are; None: as its degradation says, or a stream's."""

    def pair(self, index: SampleIndex, resolved: ResolvedFactor, seed: int) -> Pair:
        """The crops of a sample.

        Args:
            index: Which sample.
            resolved: How its factor's crops are made.
            seed: Of everything random; the index already tells samples apart.
        """
        ...
