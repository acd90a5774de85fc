"""Channel attention from the mean and the total variation of each channel (paper 2, section 3.1.1)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Statistic = Literal["mean", "tv"]


def channel_mean(x: Tensor) -> Tensor:
    """Global average pooling: (B, C, H, W) -> (B, C)."""
    return x.mean(dim=(2, 3))


def total_variation(x: Tensor, beta: int = 3) -> Tensor:
    """Mean absolute derivative to the power `beta`, both directions summed (eq. 1): -> (B, C).

    Computed in float32 at least: cubes of activations leave the range of half precision.
    """
    x = x if x.dtype == torch.float64 else x.float()
    vertical = x.diff(dim=2).abs().pow(beta).mean(dim=(2, 3))
    horizontal = x.diff(dim=3).abs().pow(beta).mean(dim=(2, 3))
    return vertical + horizontal


STATISTICS = {"mean": channel_mean, "tv": total_variation}


class ChannelAttention(nn.Module):
    """Statistics of each channel -> linear -> ReLU -> linear -> sigmoid -> scale the channels.

    Args:
        channels: Channels of the feature map.
        bottleneck: Width between the two linear layers.
        statistics: "mean" (global average pooling), "tv" (total variation) or both, in this order.
    """

    def __init__(self, channels: int, bottleneck: int, statistics: Sequence[Statistic] = ("mean",)) -> None:
        super().__init__()
        self.statistics = tuple(statistics)
        self.squeeze = nn.Linear(len(self.statistics) * channels, bottleneck)
        self.excite = nn.Linear(bottleneck, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, each channel scaled by a number in (0, 1)."""
        described = torch.cat([STATISTICS[name](x) for name in self.statistics], dim=1).to(x.dtype)
        scale = self.excite(functional.relu(self.squeeze(described))).sigmoid()
        return x * scale[:, :, None, None]


class SEResNet(nn.Module):
    """The SE-ResNet module: two zero-padded 3x3 convolutions without bias, attention, a skip, ReLU.

    Without statistics there is no attention: a plain residual module (the ablation's first row).
    """

    def __init__(self, channels: int, bottleneck: int, statistics: Sequence[Statistic] = ("mean",)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.attention = ChannelAttention(channels, bottleneck, statistics) if statistics else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.conv2(functional.relu(self.conv1(x)))
        return functional.relu(self.attention(y) + x)
