"""The dual residual block (DuRB): one block with two containers, and what the papers put into them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.attention import SEResNet, Statistic
from restore_lightning.networks.layers import conv, conv_relu, upsample

ConnectionStyle = Literal["b", "c", "d"]
Norm = Callable[[int], nn.Module]
"""Makes a normalisation from the number of channels."""


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
        if type(self.dilation) is not int or self.dilation < 1:
            raise ValueError(f"dilation={self.dilation!r}: a whole number, at least 1")

    @property
    def reach(self) -> int:
        """Pixels of reflection padding that the block needs at the resolution of its r."""
        return max(self.dilation * (self.k1 - 1) // 2, (self.k2 - 1) // 2)


class DualResidualBlock(nn.Module):
    """State is a pair (x, r): h = f(x), r' = relu(n1(T1(h) + r)), x' = relu(n2(T2(r') + x)).

    Paper 1, fig. 1(d) and 2. The paired operations T1 and T2 may change the resolution between
    x and r, as long as T2 undoes what T1 does.

    Args:
        f: What comes before the paired operations.
        t1: The first of them.
        t2: The second.
        n1: Normalisation after r has been added; None: none.
        n2: Normalisation after x has been added; None: none.
        style: How the operations are connected (fig. 1): "d" as above; "b" without r, x' = x + T2(T1(h));
            "c" two plain residual steps, which needs a T1 that keeps the shape.
    """

    def __init__(
        self,
        f: nn.Module,
        t1: nn.Module,
        t2: nn.Module,
        n1: nn.Module | None = None,
        n2: nn.Module | None = None,
        style: ConnectionStyle = "d",
    ) -> None:
        super().__init__()
        self.f = f
        self.t1 = t1
        self.t2 = t2
        self.n1 = n1 or nn.Identity()
        self.n2 = n2 or nn.Identity()
        self.style = style

    def forward(self, x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """(x, r) -> (x', r'), each of its own shape (B, C, H, W); styles "b" and "c" return r as it is."""
        h = self.f(x)
        if self.style == "d":
            r = functional.relu(self.n1(self.t1(h) + r))
            return functional.relu(self.n2(self.t2(r) + x)), r
        y = functional.relu(self.n1(self.t1(h) + h if self.style == "c" else self.t1(h)))
        return functional.relu(self.n2(self.t2(y) + (y if self.style == "c" else x))), r


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


class Upsampling(NamedTuple):
    """How T1 doubles the resolution: a convolution to 4 * r's channels, then a pixel shuffle.

    Args:
        kernel: The convolution's.
        outputs: Its output channels as a multiple of x's; r has a quarter of them.
    """

    kernel: int
    outputs: int


class BlockDesign(NamedTuple):
    """One of paper 1's blocks (fig. 3) as data.

    Args:
        upsampling: What T1 starts with; None: r has the resolution of x.
        attention: T2 starts with an SE-ResNet module.
        norm_after_sum: Normalise after r and x have been added, not before.
    """

    upsampling: Upsampling | None = None
    attention: bool = False
    norm_after_sum: bool = False

    def residual(self, channels: int) -> int:
        """Channels of r."""
        return channels if self.upsampling is None else channels * self.upsampling.outputs // 4


BlockKind = Literal["P", "U", "S", "US"]
BLOCK_DESIGNS: dict[BlockKind, BlockDesign] = {
    "P": BlockDesign(),
    "U": BlockDesign(Upsampling(kernel=1, outputs=2), norm_after_sum=True),
    "S": BlockDesign(attention=True),
    "US": BlockDesign(Upsampling(kernel=3, outputs=4), attention=True),
}


class ConvBase(nn.Module):
    """f of paper 1's blocks: h = relu(norm(conv(relu(norm(conv x))) + x)), 3x3 reflect convolutions."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(channels, channels), norm(channels)
        self.conv2, self.norm2 = conv(channels, channels), norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.conv2(functional.relu(self.norm1(self.conv1(x))))
        return functional.relu(self.norm2(y + x))


def durb(
    kind: BlockKind,
    spec: BlockSpec,
    channels: int,
    norm: Norm = nn.Identity,
    style: ConnectionStyle = "d",
    dilated_zeros: bool = False,
) -> DualResidualBlock:
    """DuRB-P, -U, -S or -US (paper 1, fig. 3).

    Args:
        kind: Which.
        spec: Kernels and dilation.
        channels: Channels of x.
        norm: Makes a normalisation.
        style: Connection style.
        dilated_zeros: Pad T1's convolution by zeros where it is dilated.

    Raises:
        ValueError: Style "c" where T1 changes the size (the dashes of table 1).
    """
    upsampling, attention, norm_after_sum = BLOCK_DESIGNS[kind]
    if style == "c" and upsampling is not None:
        raise ValueError(
            f"style 'c' cannot be built from DuRB-{kind}, whose first operation changes the size (paper 1, table 1):"
            " choose style 'b' or 'd'"
        )
    residual = BLOCK_DESIGNS[kind].residual(channels)
    t1: list[nn.Module] = []
    if upsampling is not None:
        t1 = [conv(channels, 4 * residual, upsampling.kernel), norm(4 * residual), nn.PixelShuffle(2)]
    zeros = dilated_zeros and spec.dilation > 1
    t1.append(conv(residual, residual, spec.k1, dilation=spec.dilation, zeros=zeros))
    t2: list[nn.Module] = [SEResNet(residual, residual // 2, norm=norm)] if attention else []
    t2.append(conv(residual, channels, spec.k2, stride=1 if upsampling is None else 2))
    n1, n2 = norm(residual), norm(channels)
    if not norm_after_sum:
        t1.append(n1)
        t2.append(n2)
        n1 = n2 = nn.Identity()
    return DualResidualBlock(ConvBase(channels, norm), nn.Sequential(*t1), nn.Sequential(*t2), n1, n2, style)
