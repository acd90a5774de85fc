"""Restoring images of any size: the one padding routine."""

from typing import Any

import torch
from torch import Tensor

from restore_lightning.networks.layers import SizeRule


def pad_by_reflection(image: Tensor, height: int, width: int) -> Tensor:
    """Extend (..., H, W) downwards and to the right by reflection, as often as the size needs.

    >>> pad_by_reflection(torch.arange(3.0)[None], 1, 7)
    tensor([[0., 1., 2., 1., 0., 1., 2.]])
    """

    def reflected(size: int, padded: int) -> Tensor:
        period = max(1, 2 * (size - 1))
        place = torch.arange(padded, device=image.device) % period
        return torch.where(place < size, place, period - place)

    rows, columns = reflected(image.shape[-2], height), reflected(image.shape[-1], width)
    return image.index_select(-2, rows).index_select(-1, columns)


def restore(network: Any, image: Tensor, factor: str) -> Tensor:
    """Remove a known factor from images of any size.

    Args:
        network: A network with `size_rule(factor)` and `(image, factor) -> outputs`.
        image: (B, 3, H, W) in [0, 1].
        factor: One of the network's factors.

    Returns:
        (B, 3, H, W), clamped to [0, 1].
    """
    rule: SizeRule = network.size_rule(factor)
    height, width = image.shape[-2:]
    padded = pad_by_reflection(image, rule.padded(height), rule.padded(width))
    restored: Tensor = network(padded, factor)[-1]
    return restored[..., :height, :width].to(image.dtype).clamp(0, 1)
