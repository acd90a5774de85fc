"""Low resolution: the three degradations of paper 3 (section 5.3.1)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from kornia.filters import gaussian_blur2d
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.noise import gaussian_noise
from restore_lightning.io.images import resize, to_float, to_uint8


def blur_and_take(image: Tensor, scale: int, size: int = 7, sigma: float = 1.6) -> Tensor:
    """Gaussian blur, then the middle pixel of each scale x scale block of (C, H, W), sides multiples of `scale`."""
    blurred = gaussian_blur2d(image[None], size, (sigma, sigma), border_type="replicate")[0]
    middle = scale // 2
    return blurred[:, middle::scale, middle::scale]


@dataclass(frozen=True)
class Downscale(Degradation):
    """Low resolution.

    Args:
        scale: By how much sides shrink: 2, 3, 4, 8 in the paper.
        model: "BI": bicubic with antialiasing, as MATLAB's imresize and Pillow. "BD": blurred by a 7x7 Gaussian of
            sigma 1.6, then every `scale`-th pixel. "DN": bicubic, then Gaussian noise.
        sigma: Standard deviation of the noise of "DN", in units of 1/255.
    """

    scale: int = 2
    model: Literal["BI", "BD", "DN"] = "BI"
    sigma: float = 30

    def __post_init__(self) -> None:
        """Refuse what is no down-scaling."""
        if self.scale < 2:
            raise ValueError(f"Downscale.scale {self.scale}: give at least 2")
        super().__post_init__()

    @property
    def margin(self) -> int:
        """The reach of the bicubic filter (two pixels of the small image), or of the Gaussian."""
        return 3 * self.scale

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """The seed of the noise, where there is any."""
        return {"seed": int(rng.integers(2**63))} if self.model == "DN" else {}

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """(3, H, W) in [0, 1], sides multiples of `scale` -> (3, H/scale, W/scale)."""
        if self.model == "BD":
            return blur_and_take(image, self.scale)
        small = to_float(resize(to_uint8(image), image.shape[1] // self.scale, image.shape[2] // self.scale))
        return small if self.model == "BI" else gaussian_noise(small, self.sigma, parameters["seed"])
