"""What a degradation is: parameters drawn from a generator, and a pure function that applies them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from restore_lightning.seeding import generator


class Degradation(ABC):
    """A degradation factor: `degradation(image, seed, depth)` is the same bytes for the same seed.

    Subclasses are frozen dataclasses; their fields are the sets that parameters are drawn from.
    """

    scale: int = 1
    """By how much the sides of an image shrink."""

    def __post_init__(self) -> None:
        """Refuse sets that nothing can be drawn from."""
        for name, value in vars(self).items():
            if isinstance(value, Sequence) and not value:
                raise ValueError(f"{type(self).__name__}.{name} is empty: name at least one value")

    @property
    def needs_depth(self) -> bool:
        """Whether `apply` needs a depth map."""
        return False

    @property
    def quantised(self) -> bool:
        """Whether the degraded image has passed through 8 bits, as files do."""
        return True

    @property
    def margin(self) -> int:
        """Pixels around a crop that its degraded version depends on."""
        return 0

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """The parameters of one image, as plain numbers."""

    @abstractmethod
    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """Degrade an image.

        Args:
            image: (3, H, W) in [0, 1], or (1, H, W) if gray.
            depth: (H, W) in metres, where the factor needs it.
            parameters: From `draw`. A factor that needs depth takes `depth_range` too, the nearest and the farthest
                depth of the whole image, where this is a crop of one.

        Returns:
            (3, H/scale, W/scale) or (1, ...) in [0, 1], not quantised.
        """

    def __call__(self, image: Tensor, seed: int, depth: Tensor | None = None) -> Tensor:
        """Draw parameters by the seed and apply them."""
        if self.needs_depth and depth is None:
            raise ValueError(f"{type(self).__name__} needs the image's depth map")
        return self.apply(image, depth, **self.draw(generator(seed)))
