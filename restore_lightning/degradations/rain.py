"""Rain streaks: motion-blurred Gaussian noise laid over the image (paper 2's appendix C, after a GIMP recipe)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from kornia.filters import get_motion_kernel2d
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.sparse_filter import correlate
from restore_lightning.seeding import generator

Blend = Literal["screen", "add"]
"""How streaks lie over an image. "screen": 1 - (1 - image)(1 - streaks). "add": their sum, which may exceed 1 before
haze or 8 bits end that, as CDD-11's rain."""
CONTRAST = 2.0
"""The recipe's "levels" step: what is brighter than the noise's mean is amplified, the rest is black."""


def streaks(height: int, width: int, level: float, length: int, angle: float, seed: int) -> Tensor:
    """A layer of rain streaks, (H, W) in [0, 1].

    Args:
        height: H in pixels.
        width: W in pixels.
        level: Standard deviation of the Gaussian noise on the black layer.
        length: Length of the motion blur in pixels.
        angle: Its direction from the x axis, counter-clockwise as displayed (degrees).
        seed: Of the noise.
    """
    size = length | 1
    shape = (height + size - 1, width + size - 1)
    noise = torch.from_numpy(generator(seed, "streaks").normal(0, level, shape)).float().clamp_(0, 1)
    layer = correlate(noise[None], _line(size, angle))[0]
    mean = float(layer.numpy().mean(dtype=np.float64))  # torch's depends on the number of threads
    return (CONTRAST * (layer - mean)).clamp_(0, 1)


@lru_cache(maxsize=64)
def _line(size: int, angle: float) -> Tensor:
    """The kernel of streaks of `size` pixels, (size, size)."""
    return get_motion_kernel2d(size, torch.tensor([angle], dtype=torch.float64), mode="bilinear")[0]


def rain(image: Tensor, level: float, length: int, angle: float, seed: int, blend: Blend = "screen") -> Tensor:
    """Lay streaks over (C, H, W) in [0, 1], which only brightens; see `Blend`."""
    layer = streaks(image.shape[1], image.shape[2], level, length, angle, seed).to(image.dtype)
    return image + layer if blend == "add" else image + (1 - image) * layer


@dataclass(frozen=True)
class Rain(Degradation):
    """Rain streaks with the sets of appendix C.

    Args:
        levels: Noise levels.
        lengths: Lengths of the streaks in pixels.
        angles: Directions in degrees; 90 falls straight down.
        blend: How they lie over the image.
    """

    levels: Sequence[float] = (0.55, 0.65, 0.7, 0.8)
    lengths: Sequence[int] = (10, 20, 35, 50)
    angles: Sequence[float] = (110, 105, 100, 90, 85, 80, 70)
    blend: Blend = "screen"

    def __str__(self) -> str:
        """As checkpoints of earlier versions say it, which had no other blend."""
        return repr(self).replace(", blend='screen'", "")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Level, length (pixels), angle (degrees) and the seed of the noise."""
        return {
            "level": float(rng.choice(self.levels)),
            "length": int(rng.choice(self.lengths)),
            "angle": float(rng.choice(self.angles)),
            "seed": int(rng.integers(2**63)),
        }

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `rain`."""
        return rain(image, **parameters, blend=self.blend)
