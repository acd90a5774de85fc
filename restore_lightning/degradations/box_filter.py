"""The mean over a square around each pixel."""

from torch import Tensor
from torch.nn import functional


def box_mean(image: Tensor, size: int) -> Tensor:
    """Mean of each square of `size` pixels of (C, H, W); outside the image its border goes on."""
    before, after = (size - 1) // 2, size // 2
    around = functional.pad(image[None], (before, after, before, after), mode="replicate")
    rows = functional.avg_pool2d(around, (1, size), stride=1)
    return functional.avg_pool2d(rows, (size, 1), stride=1)[0]
