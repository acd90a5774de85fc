"""Noise as published test codes add it: NumPy's legacy generator, seeded once for all images of a set or for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore_lightning.degradations.noise import Levels
from restore_lightning.errors import UserError

AT_ONCE = 2**22
"""Numbers that are drawn at once where they are passed over."""


@dataclass(frozen=True)
class LegacyNoise:
    """Gaussian noise of `np.random.seed` and `randn(H, W, channels)`, image by image, by name.

    AirNet, PromptIR, AdaIR, DFPIR and MoCE-IR seed once, and test sigma 15, 25 and 50 in turn, with noise truncated to
    8 bits. Restormer and DCPT seed before each image, and add the noise to floats ("free").

    Args:
        sigma: Standard deviation in units of 1/255.
        earlier: How many times the set was gone through since the seed, with other sigmas: 0 for 15, 1 for 25, 2 for
            50.
        levels: What becomes of the noisy image's values: "rounded" or "truncated" to 8 bits, "clipped" to [0, 1], or
            "free".
        each_image: Seed before each image.
        seed: Of the generator.
    """

    sigma: float
    earlier: int = 0
    levels: Levels = "truncated"
    each_image: bool = False
    seed: int = 0

    def check(self, where: str) -> None:
        """Refuse what makes no sense; `where` is its key, for messages."""
        for key, value in (("sigma", self.sigma), ("earlier", self.earlier), ("seed", self.seed)):
            if value < 0:
                raise UserError(f"{where}.{key} {value}: give at least 0")
        if self.each_image and self.earlier:
            raise UserError(f"{where}: earlier says nothing where the seed is set for each image: leave it out")


class NoiseStream:
    """The noise of each image of a set; it can be asked for in any order.

    Args:
        given: Which noise.
        shapes: (height, width, channels) of the images, in the order in which the published code comes to them.
    """

    def __init__(self, given: LegacyNoise, shapes: Sequence[tuple[int, int, int]]) -> None:
        self.given = given
        self.shapes = list(shapes)
        self._states: list[Any] = []
        """Of the generator before each image, as far as it has come."""

    def noise(self, index: int) -> np.ndarray:
        """(H, W, C) float64 of an image by its number, standard deviation 1."""
        rng = np.random.RandomState(self.given.seed)
        if self.given.each_image:
            return rng.standard_normal(self.shapes[index])
        counts = [height * width * channels for height, width, channels in self.shapes]
        if not self._states:
            _pass_over(rng, self.given.earlier * sum(counts))
            self._states.append(rng.get_state())
        while len(self._states) <= index:  # how many raw numbers an image takes is known by drawing them only
            rng.set_state(self._states[-1])
            _pass_over(rng, counts[len(self._states) - 1])
            self._states.append(rng.get_state())
        rng.set_state(self._states[index])
        return rng.standard_normal(self.shapes[index])

    def noisy(self, image: Tensor, index: int) -> Tensor:
        """A clean image, (C, H, W) uint8, with its noise: uint8 where that is quantised, else float32 in [0, 1]."""
        noise = torch.from_numpy(self.noise(index)).permute(2, 0, 1)
        noisy = image.double() + self.given.sigma * noise
        if self.given.levels == "free":
            return (noisy / 255).float()
        noisy = noisy.clamp(0, 255)
        if self.given.levels == "clipped":
            return (noisy / 255).float()
        return (noisy.floor() if self.given.levels == "truncated" else noisy.round()).to(torch.uint8)


def _pass_over(rng: np.random.RandomState, count: int) -> None:
    for start in range(0, count, AT_ONCE):
        rng.standard_normal(min(AT_ONCE, count - start))
