"""Normalisation of each pixel over its channels, and what is computed in float32 for it."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional


def at_least_float32(x: Tensor) -> Tensor:
    """The same numbers, half precision as float32: squares and small constants leave its range."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Within this context operations on the device of a tensor keep the types that they are given."""
    kind = x.device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, of (B, C, H, W).

    With a bias it is `(x - mean) / sqrt(variance + eps) * weight + bias`. Without one it is Restormer's "BiasFree"
    kind, `x / sqrt(variance + eps) * weight`: the variance is about the mean, x is not centred.

    Args:
        channels: Of the map.
        eps: Added to the (biased) variance.
        bias: Whether there is one.
    """

    def __init__(self, channels: int, eps: float, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        if self.bias is not None:
            last = functional.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.eps)
            return last.movedim(-1, 1)
        exact = at_least_float32(x)
        deviation = (exact.var(dim=1, correction=0, keepdim=True) + self.eps).sqrt()
        return (exact / deviation * self.weight[:, None, None]).to(x.dtype)
