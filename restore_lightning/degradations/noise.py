"""Additive white Gaussian noise (paper 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.seeding import generator


def gaussian_noise(image: Tensor, sigma: float, seed: int, clip: bool = True) -> Tensor:
    """Add noise of standard deviation `sigma` (in units of 1/255) to (C, H, W); clamped to [0, 1] if `clip`."""
    noise = generator(seed, "noise").normal(0, sigma / 255, tuple(image.shape))
    noisy = image + torch.from_numpy(noise).to(image.dtype)
    return noisy.clamp(0, 1) if clip else noisy


@dataclass(frozen=True)
class Noise(Degradation):
    """Gaussian noise.

    Args:
        sigmas: Standard deviations to draw from, in units of 1/255.
        clip: The noisy image is one of 8 bits in [0, 1]. False: neither clipped nor rounded, as paper 1's gray noise.
    """

    sigmas: Sequence[float] = (30, 50, 70)
    clip: bool = True

    @property
    def quantised(self) -> bool:
        """Unless the noise goes beyond [0, 1]."""
        return self.clip

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Standard deviation and the seed of the noise."""
        return {"sigma": float(rng.choice(self.sigmas)), "seed": int(rng.integers(2**63))}

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `gaussian_noise`."""
        return gaussian_noise(image, **parameters, clip=self.clip)
