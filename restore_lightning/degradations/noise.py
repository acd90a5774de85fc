"""Additive white Gaussian noise: paper 1's, and the all-in-one benchmarks'."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.seeding import generator

Levels = Literal["rounded", "truncated", "clipped", "free"]
"""What becomes of a noisy image's values. "rounded": 8 bits, the nearest level. "truncated": 8 bits, the level below,
as all-in-one networks are trained and tested: half a level too dark on average. "clipped": float in [0, 1]. "free":
neither clipped nor quantised."""


def gaussian_noise(image: Tensor, sigma: float, seed: int, levels: Levels = "clipped") -> Tensor:
    """Add noise of standard deviation `sigma` (in units of 1/255) to (C, H, W) in [0, 1]."""
    noise = generator(seed, "noise").normal(0, sigma / 255, tuple(image.shape))
    noisy = image + torch.from_numpy(noise).to(image.dtype)
    if levels == "free":
        return noisy
    noisy = noisy.clamp(0, 1)
    if levels == "truncated":
        return noisy.mul_(255).add_(1e-4).floor_().div_(255)  # a level in float32 may lie just below its whole number
    return noisy if levels == "clipped" else noisy.mul_(255).round_().div_(255)


@dataclass(frozen=True)
class Noise(Degradation):
    """Gaussian noise.

    Args:
        sigmas: Standard deviations to draw from, in units of 1/255.
        levels: See `Levels`; paper 1's gray noise is "free".
    """

    sigmas: Sequence[float] = (30, 50, 70)
    levels: Levels = "rounded"

    def __post_init__(self) -> None:
        """Refuse what is no noise."""
        if self.levels not in get_args(Levels):
            raise ValueError(f"Noise.levels {self.levels}: give one of {', '.join(get_args(Levels))}")
        if any(sigma < 0 for sigma in self.sigmas):
            raise ValueError(f"Noise.sigmas {self.sigmas}: give none below 0")
        super().__post_init__()

    @property
    def quantised(self) -> bool:
        """Whether the values are those of 8 bits."""
        return self.levels in ("rounded", "truncated")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Standard deviation and the seed of the noise."""
        return {"sigma": float(rng.choice(self.sigmas)), "seed": int(rng.integers(2**63))}

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `gaussian_noise`."""
        # What is rounded is rounded once, with all that degrades the image.
        return gaussian_noise(image, **parameters, levels="clipped" if self.levels == "rounded" else self.levels)
