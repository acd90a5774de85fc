"""Low light by Retinex, as OneRestore made CDD-11: illumination to a power, and noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.box_filter import box_mean
from restore_lightning.degradations.noise import gaussian_noise

WINDOW = 15
"""Side of the squares that the illumination is smoothed over, in pixels."""
SMOOTHNESS = 0.01
"""Variance of the gray values below which a window counts as flat."""


def illumination(image: Tensor) -> Tensor:
    """How much light falls on each pixel: the largest channel, smoothed where the image is (a guided filter).

    OneRestore takes it from maps that were computed beforehand.

    Args:
        image: (3, H, W) or (1, H, W) in [0, 1].

    Returns:
        (1, H, W) in (0, 1].
    """
    gray, brightest = image.mean(0, keepdim=True), image.amax(0, keepdim=True)
    maps = torch.cat([gray, brightest, gray * brightest, gray * gray])
    mean, light, product, square = box_mean(maps, WINDOW)[:, None]
    slope = (product - mean * light) / (square - mean * mean + SMOOTHNESS)
    offset = light - slope * mean
    return (box_mean(slope, WINDOW) * gray + box_mean(offset, WINDOW)).clamp(0.01, 1)


def low_light(image: Tensor, power: float, sigma: float, seed: int) -> Tensor:
    """Raise the illumination to a power and add Gaussian noise.

    Args:
        image: R L, reflectance and illumination, (C, H, W) in [0, 1].
        power: The result is R L^power.
        sigma: Standard deviation of the noise, in units of 1/255.
        seed: Of the noise.
    """
    return gaussian_noise(image * illumination(image) ** (power - 1), sigma, seed)


@dataclass(frozen=True)
class LowLight(Degradation):
    """Low light with the ranges of CDD-11; drawn uniformly.

    Args:
        powers: Of the illumination.
        sigmas: Standard deviations of the noise, in units of 1/255; CDD-11's are 0.03 to 0.08 of the range.
    """

    powers: tuple[float, float] = (2, 3)
    sigmas: tuple[float, float] = (0.03 * 255, 0.08 * 255)

    @property
    def margin(self) -> int:
        """The illumination is smoothed twice."""
        return 2 * (WINDOW // 2)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Power, standard deviation and the seed of the noise."""
        return {
            "power": float(rng.uniform(*self.powers)),
            "sigma": float(rng.uniform(*self.sigmas)),
            "seed": int(rng.integers(2**63)),
        }

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `low_light`."""
        return low_light(image, **parameters)
