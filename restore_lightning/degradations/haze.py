"""Haze by the atmospheric scattering model, with the parameters of RESIDE-beta (paper 2's appendix C)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.seeding import generator

FARTHEST = 10.0
"""Depth of the farthest point of procedural scenes and stand-ins, in metres."""


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
    bumps = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0, 0]
    depth = slope + 0.25 * bumps
    depth = (depth - depth.min()) / (depth.max() - depth.min()).clamp_min(1e-6)
    return 1 + (FARTHEST - 1) * depth


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

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `haze`."""
        assert depth is not None
        return haze(image, depth, **parameters)
