"""What MBN's stem may be built of in place of DuRB-M: NAFNet's blocks, at the two resolutions of x and r."""

from torch import Tensor, nn

from restore_lightning.networks.layers import upsample
from restore_lightning.networks.nafnet import NAFBlock

NAF_STEM = ((1, 10),) * 5
"""Blocks on r and on x of each pair: 3,785,440 parameters at MBN's width of 32, where DuRB-M's stem has 3,937,440."""


class NAFPair(nn.Module):
    """State is a pair (x, r) as in a dual residual block: r' = blocks(r + up(x)), x' = blocks(x + down(r')).

    Args:
        channels: Channels of x.
        residual: Channels of r, which has twice the resolution of x.
        on_r: NAFBlocks there.
        on_x: NAFBlocks there.
    """

    def __init__(self, channels: int, residual: int, on_r: int, on_x: int) -> None:
        super().__init__()
        self.up = upsample(channels, residual)
        self.on_r = nn.Sequential(*(NAFBlock(residual) for _ in range(on_r)))
        self.down = nn.Conv2d(residual, channels, 2, stride=2)
        self.on_x = nn.Sequential(*(NAFBlock(channels) for _ in range(on_x)))

    def forward(self, x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """(x, r) -> (x', r') of the same shapes: (B, channels, H, W) and (B, residual, 2H, 2W)."""
        r = self.on_r(r + self.up(x))
        return self.on_x(x + self.down(r)), r
