"""Motion blur as in ImageNet-C (Hendrycks and Dietterich), paper 2's appendix C."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.sparse_filter import correlate


def motion_kernel(radius: int, sigma: float, angle: float) -> Tensor:
    """A half-Gaussian along a line that starts at the centre, normalised.

    This is the kernel of ImageMagick's motion blur, which ImageNet-C calls: taps i = 0..2*radius
    weighted by exp(-i^2 / 2 sigma^2), each at the pixel nearest to i steps along the line.

    Args:
        radius: Half the number of taps (pixels).
        sigma: Standard deviation (pixels).
        angle: Direction from the x axis, clockwise as displayed (degrees).

    Returns:
        (4*radius + 1, 4*radius + 1), summing to 1, for a correlation.
    """
    reach = 2 * radius
    taps = np.exp(-(np.arange(reach + 1) ** 2) / (2 * sigma**2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    for i, weight in enumerate(taps / taps.sum()):
        kernel[reach + math.ceil(i * dy - 0.5), reach + math.ceil(i * dx - 0.5)] += weight
    return torch.from_numpy(kernel)


def motion_blur(image: Tensor, radius: int, sigma: float, angle: float) -> Tensor:
    """Blur (C, H, W) by `motion_kernel`; the border pixel goes on outside the image."""
    around = functional.pad(image[None], (2 * radius,) * 4, mode="replicate")[0]
    return correlate(around, motion_kernel(radius, sigma, angle)).clamp_(0, 1)


@dataclass(frozen=True)
class Blur(Degradation):
    """Motion blur with the sets of appendix C.

    Args:
        kernels: (radius, sigma) in pixels, one drawn per image.
        angles: Range of the direction in degrees, uniform.
    """

    kernels: Sequence[tuple[int, float]] = ((10, 1.5), (10, 2.5), (12, 3), (12, 3.5), (13, 8), (15, 12))
    angles: tuple[float, float] = (-45, 45)

    @property
    def margin(self) -> int:
        """The longest reach of a kernel."""
        return max(2 * radius for radius, _ in self.kernels)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Radius, sigma (pixels) and angle (degrees)."""
        radius, sigma = self.kernels[int(rng.integers(len(self.kernels)))]
        return {"radius": radius, "sigma": sigma, "angle": float(rng.uniform(*self.angles))}

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `motion_blur`."""
        return motion_blur(image, **parameters)
