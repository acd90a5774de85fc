"""The one padding routine."""

import torch
from torch import Tensor


def pad_by_reflection(image: Tensor, height: int, width: int) -> Tensor:
    """Extend (..., H, W) downwards and to the right by reflection, as often as the size needs; one of the size is kept.

    >>> pad_by_reflection(torch.arange(3.0)[None], 1, 7)
    tensor([[0., 1., 2., 1., 0., 1., 2.]])
    """
    if image.shape[-2:] == (height, width):
        return image

    def reflected(size: int, padded: int) -> Tensor:
        period = max(1, 2 * (size - 1))
        place = torch.arange(padded, device=image.device) % period
        return torch.where(place < size, place, period - place)

    rows, columns = reflected(image.shape[-2], height), reflected(image.shape[-1], width)
    return image.index_select(-2, rows).index_select(-1, columns)
