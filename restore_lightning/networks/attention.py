"""Channel attention from the mean and the total variation of each channel (paper 2, section 3.1.1)."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.normalisation import at_least_float32, without_autocast
from restore_lightning.networks.statistics import GlobalStatistics, Size, at_each_position, mean_over

Statistic = Literal["mean", "tv"]


def total_variation(x: Tensor, window: Size | None = None) -> Tensor:
    """Mean absolute derivative to the power 3, both directions summed (eq. 1 with beta = 3).

    Computed in float32 at least: cubes of activations leave the range of half precision.

    Args:
        x: (B, C, H, W).
        window: See `mean_over`; the derivatives are those within each window.

    Returns:
        As `mean_over`.
    """
    if window is None:
        return TotalVariation.apply(x)  # type: ignore[no-untyped-call]
    height, width = window
    vertical, horizontal = (at_least_float32(x).diff(dim=dim).abs().pow(3) for dim in (2, 3))
    return mean_over(vertical, (height - 1, width)) + mean_over(horizontal, (height, width - 1))


class TotalVariation(torch.autograd.Function):
    """`total_variation` of the whole map, which keeps nothing but x for its gradient.

    autograd would keep four maps in float32, and compute channels-last ones in the other layout: 2 to 12 times slower.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        ctx.save_for_backward(x)
        x = at_least_float32(x)
        vertical, horizontal = (x.diff(dim=dim).abs().pow_(3).mean(dim=(2, 3), keepdim=True) for dim in (2, 3))
        return vertical + horizontal

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """(B, C, 1, 1) -> (B, C, H, W), as the map was stored."""
        (x,) = ctx.saved_tensors
        exact = at_least_float32(x)
        total = torch.zeros_like(exact)
        for dim in (2, 3):
            change = exact.diff(dim=dim)
            change = (change * change.abs()).mul_(gradient * (3 / max(1, change.shape[2] * change.shape[3])))
            total.narrow(dim, 1, change.shape[dim]).add_(change)
            total.narrow(dim, 0, change.shape[dim]).sub_(change)
        return total.to(x.dtype)


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
        described = torch.cat([STATISTICS[name](x, window) for name in self.statistics], dim=1)
        with without_autocast(x):  # statistics vanish or overflow in half precision, and are few
            hidden = functional.relu(self.squeeze(described.movedim(1, -1).to(self.squeeze.weight.dtype)))
            scale = self.excite(hidden).sigmoid().movedim(-1, 1).to(x.dtype)
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
