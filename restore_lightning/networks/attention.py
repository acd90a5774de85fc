"""Channel attention from the mean and the total variation of each channel (paper 2, section 3.1.1)."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.statistics import GlobalStatistics, Size, at_each_position, mean_over

Statistic = Literal["mean", "tv"]


def total_variation(x: Tensor, window: Size | None = None, beta: int = 3) -> Tensor:
    """Mean absolute derivative to the power `beta`, both directions summed (eq. 1).

    Computed in float32 at least: cubes of activations leave the range of half precision.

    Args:
        x: (B, C, H, W).
        window: See `mean_over`; the derivatives are those within each window.
        beta: The power.

    Returns:
        As `mean_over`.
    """
    x = x if x.dtype == torch.float64 else x.float()
    down, across = (None, None) if window is None else ((window[0] - 1, window[1]), (window[0], window[1] - 1))
    vertical = mean_over(x.diff(dim=2).abs().pow(beta), down)
    horizontal = mean_over(x.diff(dim=3).abs().pow(beta), across)
    return vertical + horizontal


STATISTICS = {"mean": mean_over, "tv": total_variation}


class ChannelAttention(GlobalStatistics):
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
        """(B, C, H, W) -> the same, each channel scaled by a number in (0, 1); each position with local statistics."""
        window = self.window_on(x)
        described = torch.cat([STATISTICS[name](x, window) for name in self.statistics], dim=1).to(x.dtype)
        hidden = functional.relu(self.squeeze(described.movedim(1, -1)))
        scale = self.excite(hidden).sigmoid().movedim(-1, 1)
        return x * (scale if window is None else at_each_position(scale, x.shape[2:]))


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


class AsymmetricCoAttention(GlobalStatistics):
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
        integrated = self.integrate(torch.cat([first, second], dim=1))
        window = self.window_on(first)
        described = mean_over(integrated, window).to(integrated.dtype)
        scores = self.excite(functional.relu(self.squeeze(described)))
        if window is not None:
            scores = at_each_position(scores, first.shape[2:])
        weights = scores.unflatten(1, (2, -1)).softmax(dim=1)
        return weights[:, 0] * first + weights[:, 1] * second
