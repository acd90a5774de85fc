"""Falling snow: flakes near and far, laid over the image as Snow100K's and CDD-11's masks are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.seeding import generator

LAYERS = ((1.0, 0.55), (0.25, 1.0), (0.04, 2.2))
"""(share of the flakes, size) of what falls far away, in between, and near: there they are few, large and out of
focus."""


def flakes(height: int, width: int, density: float, radius: float, angle: float, seed: int) -> Tensor:
    """How much of each pixel flakes cover, (H, W) in [0, 1].

    Args:
        height: H in pixels.
        width: W in pixels.
        density: Far flakes per 100x100 pixels.
        radius: Mean radius of a flake of the middle layer, in pixels.
        angle: Direction of the fall from the x axis, counter-clockwise as displayed (degrees).
        seed: Of places, sizes and shapes.
    """
    rng = generator(seed, "flakes")
    clear = np.ones((height, width))
    for share, size in LAYERS:
        count = rng.poisson(density * share * height * width / 1e4)
        near = size * radius
        for top, left, r in zip(
            rng.uniform(0, height, count),
            rng.uniform(0, width, count),
            near * rng.lognormal(0, 0.35, count),
            strict=True,
        ):
            _cover(clear, top, left, r, near, angle, rng)
    return torch.from_numpy(1 - clear).float()


def _cover(
    clear: np.ndarray, top: float, left: float, r: float, near: float, angle: float, rng: np.random.Generator
) -> None:
    """Lay a flake of radius r over what is not covered yet: a blob that fell a little while the shutter was open."""
    height, width = clear.shape
    direction = math.radians(angle + rng.normal(0, 6))
    path = near * rng.uniform(0, 1.6)  # pixels
    softness = 0.8 + 0.5 * near
    ripple, phase, opacity = rng.uniform(0, 0.2), rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 0.95)
    reach = 1.3 * r + path / 2 + softness
    rows = np.arange(max(0, int(top - reach)), min(height, int(top + reach) + 2))
    columns = np.arange(max(0, int(left - reach)), min(width, int(left + reach) + 2))
    dy, dx = (rows - top)[:, None], (columns - left)[None]
    along = dx * math.cos(direction) - dy * math.sin(direction)
    across = dx * math.sin(direction) + dy * math.cos(direction)
    along = np.sign(along) * np.maximum(np.abs(along) - path / 2, 0)
    edge = r * (1 + ripple * np.cos(3 * np.arctan2(across, along) + phase))
    cover = opacity * np.clip((edge - np.hypot(along, across)) / softness + 0.5, 0, 1)
    clear[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] *= 1 - cover


def snow(image: Tensor, density: float, radius: float, angle: float, seed: int) -> Tensor:
    """Lay white flakes over (C, H, W): image (1 - m) + m."""
    mask = flakes(image.shape[1], image.shape[2], density, radius, angle, seed).to(image.dtype)
    return image + (1 - image) * mask


@dataclass(frozen=True)
class Snow(Degradation):
    """Falling snow.

    Args:
        densities: Far flakes per 100x100 pixels to draw from.
        radii: Radii of the flakes in between, in pixels, to draw from.
        angles: Directions in degrees to draw from; 90 falls straight down.
    """

    densities: Sequence[float] = (15, 30, 45)
    radii: Sequence[float] = (1.2, 1.7, 2.2)
    angles: Sequence[float] = (120, 105, 90, 75, 60)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Flakes per 100x100 pixels, radius (pixels), angle (degrees) and the seed of the flakes."""
        return {
            "density": float(rng.choice(self.densities)),
            "radius": float(rng.choice(self.radii)),
            "angle": float(rng.choice(self.angles)),
            "seed": int(rng.integers(2**63)),
        }

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `snow`."""
        return snow(image, **parameters)
