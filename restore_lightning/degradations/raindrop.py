"""Raindrops on the lens: a simple model for trying things; the papers train on photographs of real drops."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional

from restore_lightning.degradations.base import Degradation
from restore_lightning.seeding import generator


def raindrops(image: Tensor, count: int, radius: float, seed: int) -> Tensor:
    """Lay drops over (C, H, W): in a drop one sees the scene upside down, smaller and out of focus.

    Args:
        image: In [0, 1].
        count: Number of drops.
        radius: Mean radius in pixels.
        seed: Of places, sizes and shapes.
    """
    height, width = image.shape[1:]
    rng = generator(seed, "raindrops")
    centres = torch.from_numpy(rng.uniform(0, 1, (count, 2)) * (height, width))
    radii = torch.from_numpy(radius * rng.uniform(0.5, 1.5, count))
    flatness = torch.from_numpy(rng.uniform(0.7, 1.3, count))
    out_of_focus = gaussian_blur2d(image[None], 9, (2.0, 2.0), border_type="replicate")
    result = image.clone()
    for (top, left), r, flat in zip(centres, radii, flatness, strict=True):
        reach = float(1.3 * r * max(flat, 1 / flat)) + 1
        rows = torch.arange(max(0, int(top - reach)), min(height, int(top + reach) + 1), dtype=torch.float64)
        columns = torch.arange(max(0, int(left - reach)), min(width, int(left + reach) + 1), dtype=torch.float64)
        dy, dx = ((rows - top) / (r * flat))[:, None], ((columns - left) / (r / flat))[None]
        # The lens turns its surroundings over and shows three of its radii to each side.
        seen_y, seen_x = (top - 3 * dy * r).expand(-1, len(columns)), (left - 3 * dx * r).expand(len(rows), -1)
        grid = torch.stack([2 * (seen_x + 0.5) / width - 1, 2 * (seen_y + 0.5) / height - 1], dim=-1)
        seen = functional.grid_sample(
            out_of_focus, grid[None].to(image.dtype), padding_mode="reflection", align_corners=False
        )[0]
        brightness = 1.1 - 0.175 * (dy + 1).clamp(0, 2)
        inside = ((1.15 - (dy**2 + dx**2).sqrt()) / 0.3).clamp(0, 1)  # soft edge
        patch = result[:, int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
        patch.lerp_(seen * brightness.to(image.dtype), inside.to(image.dtype))
    return result.clamp(0, 1)


@dataclass(frozen=True)
class Raindrop(Degradation):
    """Raindrops on the lens.

    Args:
        counts: Drops per 100x100 pixels to draw from.
        radii: Mean radii in pixels to draw from.
    """

    counts: Sequence[float] = (2, 4, 6)
    radii: Sequence[float] = (4, 6, 8)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Drops per 100x100 pixels, mean radius (pixels) and the seed of the drops."""
        return {
            "density": float(rng.choice(self.counts)),
            "radius": float(rng.choice(self.radii)),
            "seed": int(rng.integers(2**63)),
        }

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `raindrops`."""
        count = max(1, round(parameters["density"] * image.shape[1] * image.shape[2] / 1e4))
        return raindrops(image, count, parameters["radius"], parameters["seed"])
