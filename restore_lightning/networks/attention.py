"""Channel attention from the mean and the total variation of each channel (paper 2, section 3.1.1)."""

from collections.abc import Callable, Sequence
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

    Args:
        channels: Channels of the feature map.
        bottleneck: Width between the attention's two linear layers.
        statistics: Of the attention. Without any there is none: a plain residual module (the first row of
            paper 2's table 1).
        norm: Makes the normalisation after each convolution from the number of channels.
    """

    def __init__(
        self,
        channels: int,
        bottleneck: int,
        statistics: Sequence[Statistic] = ("mean",),
        norm: Callable[[int], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = norm(channels)
        self.attention = ChannelAttention(channels, bottleneck, statistics) if statistics else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(self.attention(y) + x)


class AsymmetricCoAttention(nn.Module):
    """AsyCA (paper 3, section 3.2): fuses two feature maps by weights that sum to 1 in each channel.

    Args:
        channels: Channels of each map.
        reduction: Of the bottleneck.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.integrate = nn.Conv2d(2 * channels, channels, 1)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, 2 * channels, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two (B, C, H, W) -> one (eq. 6 to 12)."""
        described = self.integrate(torch.cat([first, second], dim=1)).mean(dim=(2, 3), keepdim=True)
        scores = self.excite(functional.relu(self.squeeze(described)))
        weights = scores.unflatten(1, (2, -1)).softmax(dim=1)
        return weights[:, 0] * first + weights[:, 1] * second
