"""The dual residual block (DuRB): one block with two containers, and what the papers put into them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.attention import SEResNet, Statistic
from restore_lightning.networks.layers import conv, conv_relu, upsample


@dataclass(frozen=True)
class BlockSpec:
    """One dual residual block as data.

    Args:
        k1: Kernel of the first operation's convolution (T1).
        k2: Kernel of the second operation's convolution (T2).
        dilation: Dilation of T1's convolution.
    """

    k1: int
    k2: int
    dilation: int = 1

    def __post_init__(self) -> None:
        """Refuse what no reflect convolution can do."""
        for name in ("k1", "k2"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise ValueError(f"{name}={getattr(self, name)}: a block's kernels are odd and at least 1")
        if self.dilation < 1:
            raise ValueError(f"dilation={self.dilation}: at least 1")

    @property
    def reach(self) -> int:
        """Pixels of reflection padding that the block needs at the resolution of its r."""
        return max(self.dilation * (self.k1 - 1) // 2, (self.k2 - 1) // 2)


class DualResidualBlock(nn.Module):
    """State is a pair (x, r): h = f(x), r' = relu(T1(h) + r), x' = relu(T2(r') + x).

    Paper 1, fig. 1(d) and 2. The paired operations T1 and T2 may change the resolution between
    x and r, as long as T2 undoes what T1 does.
    """

    def __init__(self, f: nn.Module, t1: nn.Module, t2: nn.Module) -> None:
        super().__init__()
        self.f = f
        self.t1 = t1
        self.t2 = t2

    def forward(self, x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """(x, r) -> (x', r'), each of its own shape (B, C, H, W)."""
        r = functional.relu(self.t1(self.f(x)) + r)
        return functional.relu(self.t2(r) + x), r


class FusedDownsampling(nn.Module):
    """T2 of DuRB-M: a strided convolution and an attention path in parallel, merged by a convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.down = conv_relu(inputs, outputs, 3, stride=2)
        self.attend = nn.Sequential(
            SEResNet(inputs, bottleneck=outputs), conv(inputs, outputs, kernel, stride=2), nn.ReLU()
        )
        self.merge = conv(2 * outputs, outputs)

    def forward(self, r: Tensor) -> Tensor:
        """(B, inputs, 2H, 2W) -> (B, outputs, H, W)."""
        return self.merge(torch.cat([self.down(r), self.attend(r)], dim=1))


def durb_m(
    spec: BlockSpec,
    channels: int,
    residual: int,
    statistics: Sequence[Statistic] = ("mean", "tv"),
    fusion: bool = True,
) -> DualResidualBlock:
    """DuRB-M (paper 2, section 3.1.2).

    Args:
        spec: Kernels and dilation.
        channels: Channels of x.
        residual: Channels of r, which has twice the resolution of x.
        statistics: Statistics of the first module's attention; none switches the attention off.
        fusion: True: T2 fuses convolution and attention. False: T2 is DuRB-U's convolution alone,
            the rows without "Fusion" in table 1.
    """
    t2 = FusedDownsampling(residual, channels, spec.k2) if fusion else conv(residual, channels, 3, stride=2)
    return DualResidualBlock(
        f=SEResNet(channels, bottleneck=residual, statistics=statistics),
        t1=nn.Sequential(upsample(channels, channels), conv(channels, residual, spec.k1, dilation=spec.dilation)),
        t2=t2,
    )
