"""NAFNet: a U-shaped network without activation functions (Chen et al., "Simple Baselines for Image Restoration")."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.info import NetworkInfo, SizeRule
from restore_lightning.networks.normalisation import ChannelNorm
from restore_lightning.networks.statistics import GlobalStatistics, Size, at_each_position, mean_around, mean_over

EPS = 1e-6
"""Of the normalisation."""


class LocalMean(GlobalStatistics):
    """The mean of each channel over the map, or over a window around each position.

    Args:
        side: Of the window in positions, cut to the map's size in each direction; None: the whole map.
    """

    def __init__(self, side: int | None = None) -> None:
        super().__init__()
        self.side = side

    def window_on(self, x: Tensor) -> Size | None:
        """The window on a map (B, C, H, W); None: the whole map. `local_statistics` goes before `side`."""
        if self.window is not None or self.side is None:
            return super().window_on(x)
        height, width = x.shape[2:]
        return None if self.side >= max(height, width) else (min(self.side, height), min(self.side, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1), with a window (B, C, H, W)."""
        if self.side is not None and self.window is None and isinstance(x.shape[2], torch.SymInt):
            return mean_around(x, self.side).to(x.dtype)  # torch.export traces a size that it leaves open
        window = self.window_on(x)
        mean = mean_over(x, window).to(x.dtype)
        return mean if window is None else at_each_position(mean, x.shape[2:])


def gate(x: Tensor) -> Tensor:
    """SimpleGate: the first half of the channels times the second, (B, 2C, H, W) -> (B, C, H, W)."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """y = x + beta * conv3(g * sca(g)) with g = gate(conv2(conv1(norm1 x))); y + gamma * conv5(gate(conv4(norm2 y))).

    beta and gamma are zero at the start: a fresh block is the identity.

    Args:
        channels: Of the map.
        side: Of the channel attention's window (positions); None: the whole map.
    """

    def __init__(self, channels: int, side: int | None = None) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels, EPS)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.sca = nn.Sequential(LocalMean(side), nn.Conv2d(channels, channels, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.norm2 = ChannelNorm(channels, EPS)
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        g = gate(self.conv2(self.conv1(self.norm1(x))))
        y = x + self.beta * self.conv3(g * self.sca(g))
        return y + self.gamma * self.conv5(gate(self.conv4(self.norm2(y))))


class NAFNet(nn.Module):
    """Levels of NAFBlocks, each at half the resolution and twice the width of the one before it.

    Its defaults are the released network for GoPro and REDS (17,111,907 parameters, 67,888,835 with width 64); the
    one for SIDD has `encoders` 2 2 4 8, `middle` 12, `decoders` 2 2 2 2. Images of any size are padded by zeros at
    the right and the bottom to a multiple of 2 ** levels.

    Args:
        width: Channels at full resolution.
        encoders: Blocks of each level on the way down, finest first.
        middle: Blocks at the lowest resolution.
        decoders: Blocks of each level on the way up, coarsest first; as many levels as `encoders`.
        image_channels: 3, or 1 for gray images.
        train_size: Side of the training crops (pixels), which makes it NAFNetLocal: statistics are taken over
            windows of 1.5 times this side around each position ("test-time local converter", Chu et al., ECCV
            2022). None: over the whole image. The authors' windows are rounded down, those of `local_statistics`
            to the nearest: the same wherever 2 ** levels divides the side.

    Raises:
        ValueError: Numbers below 1, no level, or another number of `decoders` than of `encoders`.
    """

    def __init__(
        self,
        width: int = 32,
        encoders: Sequence[int] = (1, 1, 1, 28),
        middle: int = 1,
        decoders: Sequence[int] = (1, 1, 1, 1),
        image_channels: int = 3,
        train_size: int | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("image_channels", image_channels), ("train_size", train_size)):
            if not (value is None and name == "train_size") and (type(value) is not int or value < 1):
                raise ValueError(f"{name}={value!r}: a whole number, at least 1")
        if not encoders or len(encoders) != len(decoders) or min(*encoders, *decoders, middle) < 0:
            raise ValueError(
                f"encoders={list(encoders)}, middle={middle}, decoders={list(decoders)}: numbers of blocks, at least"
                " one level, as many decoders as encoders"
            )
        # It pads by zeros itself.
        self.info = NetworkInfo(channels=image_channels, scale=1, sizes=SizeRule(1, 1), channels_last=True)
        levels = len(encoders)
        self.padding = SizeRule(2**levels, 1)
        sides = [_side(train_size, level, levels) for level in range(levels + 1)]
        channels = [width * 2**level for level in range(levels + 1)]

        def blocks(count: int, level: int) -> nn.Sequential:
            return nn.Sequential(*(NAFBlock(channels[level], sides[level]) for _ in range(count)))

        upwards = range(levels - 1, -1, -1)
        self.intro = nn.Conv2d(image_channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(blocks(count, level) for level, count in enumerate(encoders))
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in channels[:-1])
        self.middle = blocks(middle, levels)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * channels[level], 4 * channels[level], 1, bias=False), nn.PixelShuffle(2))
            for level in upwards
        )
        self.decoders = nn.ModuleList(blocks(count, level) for count, level in zip(decoders, upwards, strict=True))
        self.ending = nn.Conv2d(width, image_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Restore.

        Args:
            image: (B, image_channels, H, W) in [0, 1], of any size.

        Returns:
            The same shape, not clamped.
        """
        height, width = image.shape[2:]
        below, right = (self.padding.padded(side) - side for side in (height, width))
        image = functional.pad(image, (0, right, 0, below))
        x = self.intro(image)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up, decoder, skip in zip(self.ups, self.decoders, reversed(skips), strict=True):
            x = decoder(up(x) + skip)
        return (self.ending(x) + image)[..., :height, :width]


def _side(train_size: int | None, level: int, levels: int) -> int | None:
    """Side of the window on a level's map, as many of its positions as 1.5 training crops have there.

    >>> [_side(256, level, 4) for level in range(5)]
    [384, 192, 96, 48, 24]
    """
    if train_size is None:
        return None
    padded = SizeRule(2**levels, 1).padded(train_size)
    return padded // 2**level * int(1.5 * train_size) // train_size
