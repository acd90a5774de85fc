"""The one padding routine."""

import torch
from torch import Tensor


def pad_by_reflection(image: Tensor, height: int, width: int) -> Tensor:
    """Extend (..., H, W) downwards and to the right by reflection, as often as the size needs; one of the size is kept.

    >>> pad_by_reflection(torch.arange(3.0)[None], 1, 7)
    tensor([[0., 1., 2., 1., 0., 1., 2.]])
    """
    return image if image.shape[-2:] == (height, width) else reflected_to(image, height, width)


def reflected_to(image: Tensor, height: int, width: int) -> Tensor:
    """As `pad_by_reflection`, by the same operations whatever the size is: an exported graph has no choice."""

    def reflected(size: int, padded: int) -> Tensor:
        period = torch.full((), 2 * (size - 1), device=image.device).clamp_min(1)
        place = torch.arange(padded, device=image.device) % period
        return torch.where(place < size, place, period - place)

    rows, columns = reflected(image.shape[-2], height), reflected(image.shape[-1], width)
    return image.index_select(-2, rows).index_select(-1, columns)
