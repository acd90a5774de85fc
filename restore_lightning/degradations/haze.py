"""Haze by the atmospheric scattering model: RESIDE-beta's (paper 2's appendix C), and CDD-11's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.box_filter import box_mean
from restore_lightning.seeding import generator

FARTHEST = 10.0
"""Depth of the farthest point of procedural scenes and stand-ins, in metres."""
STAND_IN_RANGE = (1.0, FARTHEST)
"""Depths of a stand-in's nearest and farthest points, in metres."""
FARTHEST_HAZE, SMOOTHED = 0.7, 22
"""CDD-11's largest relative distance, and the side of the square that it is smoothed over (pixels)."""


def transmission(depth: Tensor, beta: float) -> Tensor:
    """T = exp(-beta * depth), in (0, 1]."""
    return torch.exp(-beta * depth)


def haze(image: Tensor, depth: Tensor, airlight: float, beta: float) -> Tensor:
    """I = J t + A (1 - t).

    Args:
        image: J, (3, H, W) in [0, 1].
        depth: (H, W) in metres.
        airlight: A, the gray of the haze, in [0, 1].
        beta: Scattering coefficient per metre.
    """
    t = transmission(depth, beta).to(image.dtype)
    return image * t + airlight * (1 - t)


def stand_in_depth(height: int, width: int, seed: int) -> Tensor:
    """A plausible depth map for a photograph that has none: ground that recedes upwards, and bumps.

    Returns:
        (H, W) float32, 1 to 10 metres.
    """
    rng = generator(seed, "stand-in depth")
    slope = torch.linspace(1, 0, height)[:, None] * rng.uniform(0.3, 1) + torch.linspace(-1, 1, width) * rng.uniform(
        -0.2, 0.2
    )
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 6, 6))).float()
    bumps = functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0, 0]
    depth = slope + 0.25 * bumps
    depth = (depth - depth.min()) / (depth.max() - depth.min()).clamp_min(1e-6)
    nearest, farthest = STAND_IN_RANGE
    return nearest + (farthest - nearest) * depth


@dataclass(frozen=True)
class Haze(Degradation):
    """Haze with the sets of appendix C.

    Args:
        airlights: v1 of RESIDE-beta.
        betas: v2 of RESIDE-beta.
    """

    airlights: Sequence[float] = (1, 0.95, 0.9, 0.85, 0.8)
    betas: Sequence[float] = (0.2, 0.16, 0.12, 0.1, 0.08)

    @property
    def needs_depth(self) -> bool:
        """Transmission is a function of depth."""
        return True

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Airlight and scattering coefficient."""
        return {"airlight": float(rng.choice(self.airlights)), "beta": float(rng.choice(self.betas))}

    def apply(self, image: Tensor, depth: Tensor | None, depth_range: object = None, **parameters: Any) -> Tensor:
        """See `haze`; metres are the same in a crop, whatever the whole image's range."""
        assert depth is not None
        return haze(image, depth, **parameters)


def relative_distance(depth: Tensor, depth_range: tuple[float, float] | None = None) -> Tensor:
    """How far away pixels are between the nearest (0) and the farthest (1), smoothed and at most `FARTHEST_HAZE`.

    Args:
        depth: (H, W) in any unit.
        depth_range: Of the nearest and the farthest pixel of the image that this is a crop of; None: it is whole.
    """
    nearest, farthest = depth.aminmax() if depth_range is None else depth.new_tensor(depth_range)
    distance = (depth - nearest) / (farthest - nearest).clamp_min(1e-6)
    return box_mean(distance[None], SMOOTHED)[0].clamp(0, FARTHEST_HAZE)


@dataclass(frozen=True)
class RelativeHaze(Degradation):
    """Haze as OneRestore made CDD-11: of relative depth, the farthest 30% alike; drawn uniformly.

    Args:
        airlights: The haze's gray.
        betas: Scattering coefficients for the distance from the nearest to the farthest pixel.
    """

    airlights: tuple[float, float] = (0.6, 0.9)
    betas: tuple[float, float] = (1, 2)

    @property
    def needs_depth(self) -> bool:
        """Transmission is a function of depth."""
        return True

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Airlight and scattering coefficient."""
        return {"airlight": float(rng.uniform(*self.airlights)), "beta": float(rng.uniform(*self.betas))}

    @property
    def margin(self) -> int:
        """Distances are smoothed."""
        return SMOOTHED // 2

    def apply(
        self,
        image: Tensor,
        depth: Tensor | None,
        depth_range: tuple[float, float] | None = None,
        **parameters: Any,
    ) -> Tensor:
        """See `haze` and `relative_distance`."""
        assert depth is not None
        return haze(image, relative_distance(depth, depth_range), **parameters)
