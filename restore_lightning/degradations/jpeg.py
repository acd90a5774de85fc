"""JPEG artifacts by Pillow (paper 2's appendix C)."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.io.images import from_array, to_array, to_float, to_uint8


def jpeg_bytes(image: Tensor, quality: int) -> bytes:
    """The file that Pillow writes for a (3, H, W) uint8 image at a quality of 1 to 100."""
    buffer = io.BytesIO()
    Image.fromarray(to_array(image)).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def jpeg(image: Tensor, quality: int) -> Tensor:
    """Code and decode (3, H, W) in [0, 1]."""
    coded = Image.open(io.BytesIO(jpeg_bytes(to_uint8(image), quality)))
    return to_float(from_array(np.asarray(coded))).to(image.dtype)


@dataclass(frozen=True)
class Jpeg(Degradation):
    """JPEG coding.

    Args:
        qualities: Pillow's qualities to draw from; appendix C has 15 to 50, table 3's test 10.
    """

    qualities: Sequence[int] = tuple(range(15, 51))

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """The quality."""
        return {"quality": int(rng.choice(self.qualities))}

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """See `jpeg`."""
        return jpeg(image, **parameters)
