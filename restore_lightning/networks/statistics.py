"""Statistics over whole feature maps, or over windows of the training size around each position.

A statistic over a whole map describes a crop in training and an image in use, which differ the more the larger the
image is. The remedy needs no training: at test time the statistic is taken over a window of the training size around
each position (test-time local converter, TLC: Chu et al., "Improving Image Restoration by Revisiting Global
Information Aggregation", ECCV 2022).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Size = tuple[int, int]
"""Height and width in positions of a map."""


class StatisticsWindow(NamedTuple):
    """The training size, and the size of the image that it belongs to (pixels).

    Args:
        crop: Side of the training crops.
        height: Of the image.
        width: Of the image.
    """

    crop: int
    height: int
    width: int

    def on(self, height: int, width: int) -> Size:
        """The window on a map of some resolution: the same part of it as the crop is of the image.

        At least 2 positions a side, which a total variation needs; at most the map.

        >>> StatisticsWindow(64, 1024, 512).on(256, 128), StatisticsWindow(64, 1024, 32).on(256, 8)
        ((16, 16), (16, 8))
        """

        def side(positions: int, pixels: int) -> int:
            return min(positions, max(2, round(self.crop * positions / pixels)))

        return side(height, self.height), side(width, self.width)


class GlobalStatistics(nn.Module):
    """A module that averages over the whole map, and over windows of it while `local_statistics` is on."""

    window: StatisticsWindow | None = None

    def window_on(self, x: Tensor) -> Size | None:
        """The window on a map (B, C, H, W); None: the whole map."""
        return None if self.window is None else self.window.on(*x.shape[2:])


@contextmanager
def local_statistics(network: nn.Module, crop: int, size: Sequence[int]) -> Iterator[None]:
    """Within this context a network's statistics are local ones; parameters and buffers stay as they are.

    Args:
        network: Has modules of type `GlobalStatistics`.
        crop: Side of the crops that it was trained on (pixels of the network's input).
        size: Height and width of the images that it is called with (pixels).
    """
    modules = global_statistics(network)
    before = [module.window for module in modules]
    for module in modules:
        module.window = StatisticsWindow(crop, *size)
    try:
        yield
    finally:
        for module, window in zip(modules, before, strict=True):
            module.window = window


def global_statistics(network: nn.Module) -> list[GlobalStatistics]:
    """The modules whose statistics can be local ones."""
    return [module for module in network.modules() if isinstance(module, GlobalStatistics)]


def mean_over(x: Tensor, window: Size | None) -> Tensor:
    """The mean over the map, or over each complete window.

    Windows are differences of running sums (an integral image, one direction after the other), which take as long for
    large ones as for small ones. Sums are float64 (float32 on mps, which has nothing better).

    Args:
        x: (B, C, H, W).
        window: Height and width; None: the map's.

    Returns:
        (B, C, 1, 1), of windows (B, C, H - height + 1, W - width + 1), in float32 at least.
    """
    if window is None:
        return MapMean.apply(x)  # type: ignore[no-untyped-call]
    for dim, size in zip((2, 3), window, strict=True):
        x = _running_mean(x, dim, size)
    return x


class MapMean(torch.autograd.Function):
    """The mean of whole maps, whose gradient is a view, not a map in another layout or type than the activations'."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        ctx.shape, ctx.dtype = x.shape, x.dtype
        return x.mean(dim=(2, 3), keepdim=True, dtype=_single(x))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """(B, C, 1, 1) -> (B, C, H, W)."""
        return (gradient / ctx.shape[2:].numel()).to(ctx.dtype).expand(ctx.shape)


def _running_mean(x: Tensor, dim: int, size: int) -> Tensor:
    sums = x.cumsum(dim, dtype=_exact(x))
    further = x.shape[dim] - size
    of_windows = sums.narrow(dim, size - 1, further + 1).clone()
    of_windows.narrow(dim, 1, further).sub_(sums.narrow(dim, 0, further))
    return of_windows.div_(size).to(_single(x))


def _exact(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "mps" else torch.float64


def _single(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def at_each_position(y: Tensor, size: Sequence[int]) -> Tensor:
    """What belongs to windows (B, C, H', W'), at each position of a map: (B, C, H, W).

    At the borders it is that of the nearest complete window.
    """
    rows, columns = (whole - part for whole, part in zip(size, y.shape[2:], strict=True))
    return functional.pad(y, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), mode="replicate")


def mean_around(x: Tensor, side: int) -> Tensor:
    """The mean over a square window around each position: that of the nearest complete one at the borders.

    `mean_over` and `at_each_position` in the same operations whatever the size is: an exported graph has no choice.

    Args:
        x: (B, C, H, W).
        side: Of the window, cut to the map's size in each direction.

    Returns:
        (B, C, H, W), in float32 at least.
    """
    for dim in (2, 3):
        positions = x.shape[dim]
        length = torch.full((), positions, device=x.device).clamp_max(side)
        start = torch.arange(positions, device=x.device) - (length - 1) // 2
        start = start.clamp_min(0).minimum(positions - length)
        sums = x.cumsum(dim, dtype=_exact(x))
        sums = torch.cat([torch.zeros_like(sums.narrow(dim, 0, 1)), sums], dim)
        of_windows = sums.index_select(dim, start + length) - sums.index_select(dim, start)
        x = (of_windows / length).to(_single(x))
    return x


class InstanceNorm(GlobalStatistics, nn.InstanceNorm2d):
    """`nn.InstanceNorm2d`, which can use local statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape, each channel with mean 0 and variance 1 before the affine map."""
        window = self.window_on(x)
        if window is None:
            return super().forward(x)
        exact = x.to(_exact(x))  # the variance is a difference of large numbers
        mean = mean_over(exact, window)
        deviation = (mean_over(exact.square(), window) - mean.square()).clamp_min(0).add(self.eps).sqrt()
        mean, deviation = (at_each_position(y.to(_single(x)), x.shape[2:]) for y in (mean, deviation))
        y = (x - mean) / deviation
        if self.affine:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)
