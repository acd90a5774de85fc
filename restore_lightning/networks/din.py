"""The Deep Interleaved Network (DIN) of paper 3."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.attention import AsymmetricCoAttention, ChannelAttention
from restore_lightning.networks.info import NetworkInfo, SizeRule, tiling_of

Fusion = Literal["asyca", "concat", "sum", "se"]
SLOPE = 0.2
"""Of the LeakyReLU."""
RESIDUAL_SCALE = 0.1
"""Of what an RDB and a WRDB add to their input."""


class RDB(nn.Module):
    """A residual dense block (eq. 1 and 2): six convolutions, each of which sees all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width + place * growth, growth if place < 5 else width, 3, padding=1) for place in range(6)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        seen = x
        *growing, last = self.convolutions
        for convolution in growing:
            seen = torch.cat([seen, functional.leaky_relu(convolution(seen), SLOPE)], dim=1)
        return RESIDUAL_SCALE * last(seen) + x


class WRDB(nn.Module):
    """A weighted residual dense block (section 3.1.2): a convolution, then B RDBs with weighted connections.

    Args:
        width: Channels.
        growth: Growth rate of the RDBs.
        B: Number of RDBs.
        dwc: Densely weighted connections: each state after an RDB adds all earlier ones, each through 1x1
            depth-wise weights of its own. Without them the RDBs are a plain cascade.
    """

    def __init__(self, width: int, growth: int, B: int, dwc: bool) -> None:  # noqa: N803
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.blocks = nn.ModuleList(RDB(width, growth) for _ in range(B))
        # weights[b][i]: of state i in the sum after RDB b.
        self.weights = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width, width, 1, groups=width) for _ in range(b + 1 if dwc else 0))
            for b in range(B)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        states = [functional.leaky_relu(self.first(x), SLOPE)]
        weights: Any
        for block, weights in zip(self.blocks, self.weights, strict=True):
            state = block(states[-1])
            for weight, earlier in zip(weights, states, strict=False):
                state = state + weight(earlier)
            states.append(state)
        return RESIDUAL_SCALE * states[-1] + x


class ConcatFusion(nn.Module):
    """Two states become one: a 1x1 convolution of their concatenation, with SE attention before it or without."""

    def __init__(self, width: int, attention: bool) -> None:
        super().__init__()
        self.attention = ChannelAttention(2 * width, width // 2) if attention else nn.Identity()
        self.merge = nn.Conv2d(2 * width, width, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two (B, width, H, W) -> one."""
        return self.merge(self.attention(torch.cat([first, second], dim=1)))


class SumFusion(nn.Module):
    """Two states become one: their sum."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two (B, C, H, W) -> one."""
        return first + second


def fusion_of(kind: Fusion, width: int) -> nn.Module:
    """The fusion at an interleaved node (fig. 7)."""
    if kind == "asyca":
        return AsymmetricCoAttention(width, reduction=4)
    return SumFusion() if kind == "sum" else ConcatFusion(width, attention=kind == "se")


class DIN(nn.Module):
    """M interleaved branches of D WRDBs (paper 3, sections 3.3 to 3.5; 19,928,307 parameters for x2).

    Args:
        scale: Super-resolution by 2, 3, 4 or 8; 1: the image keeps its size (deblurring, deraining, dehazing).
        stride: 4: an 8x8 convolution of this stride after the first one, and sub-pixel up-sampling at the end
            (deblurring and dehazing). 1: features have the resolution of the input.
        D: WRDBs per branch.
        B: RDBs per WRDB.
        M: Branches.
        growth: Growth rate of the RDBs.
        width: Channels of the features.
        fusion: At the interleaved nodes: "asyca" (asymmetric co-attention), "concat", "sum", "se". Table 1's
            rows without AsyCA have "sum".
        dwc: Densely weighted connections in the WRDBs.
        gff: Global feature fusion; without it the end of the last branch goes on.
        released: Compute as the authors' released network does, for their checkpoints: a branch's first node fuses
            the previous branch's first state with itself (eq. 14: with its last), and the image is enlarged
            bilinearly for the global skip (the text: bicubic).

    Raises:
        ValueError: Numbers below 1, a scale that cannot be built, or both a scale and a stride.
    """

    def __init__(
        self,
        scale: Literal[1, 2, 3, 4, 8] = 1,
        stride: Literal[1, 4] = 1,
        D: int = 5,  # noqa: N803
        B: int = 3,  # noqa: N803
        M: int = 4,  # noqa: N803
        growth: int = 32,
        width: int = 64,
        fusion: Fusion = "asyca",
        dwc: bool = True,
        gff: bool = True,
        released: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("D", D), ("B", B), ("M", M), ("growth", growth)):
            if value < 1:
                raise ValueError(f"{name}={value}: at least 1")
        if width < 4 or width % 4:
            raise ValueError(f"width={width}: a multiple of 4 (the attention's bottleneck has a quarter of it)")
        if scale > 1 and stride > 1:
            raise ValueError(f"scale={scale} and stride={stride}: super-resolution has no strided front, give one")
        self.scale = scale
        self.released = released
        front = [nn.Conv2d(3, width, 3, padding=1)]
        if stride > 1:
            front.append(nn.Conv2d(width, width, 2 * stride, stride, padding=stride // 2))
        self.front = nn.Sequential(*front)
        self.branches = nn.ModuleList(nn.ModuleList(WRDB(width, growth, B, dwc) for _ in range(D)) for _ in range(M))
        self.nodes = nn.ModuleList(nn.ModuleList(fusion_of(fusion, width) for _ in range(D)) for _ in range(M - 1))
        self.ends = nn.Conv2d(M * width, width, 1) if gff else None
        self.states = nn.Conv2d(D * width, width, 1) if gff else None
        self.back = nn.Sequential(*_upsampling(width, scale * stride), nn.Conv2d(width, 3, 3, padding=1))
        sizes = SizeRule(multiple=stride, minimum=stride)
        self.info = NetworkInfo(channels=3, scale=scale, sizes=sizes, tiling=tiling_of(self), channels_last=True)

    def forward(self, image: Tensor) -> Tensor:
        """Restore.

        Args:
            image: (B, 3, H, W) in [0, 1], sides as in `info.sizes`.

        Returns:
            (B, 3, scale * H, scale * W), not clamped.
        """
        features = self.front(image)
        ends, states = self._branches(features)
        x = ends[-1]
        if self.ends is not None and self.states is not None:
            x = self.ends(_activated(ends)) + self.states(_activated([*states[:-1], features]))
        return self.back(x) + self._enlarged(image)

    def _branches(self, features: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The end of each branch, and all states of the last one (eq. 13 and 14)."""
        ends: list[Tensor] = []
        previous: list[Tensor] = []
        branch: Any
        for number, branch in enumerate(self.branches):
            states: list[Tensor] = []
            for depth, block in enumerate(branch):
                if number == 0:
                    x = states[-1] if states else features
                elif depth == 0:
                    x = self.nodes[number - 1][0](previous[0 if self.released else -1], previous[0])  # type: ignore[index]
                else:
                    x = self.nodes[number - 1][depth](previous[depth], states[-1])  # type: ignore[index]
                states.append(block(x))
            ends.append(states[-1])
            previous = states
        return ends, previous

    def _enlarged(self, image: Tensor) -> Tensor:
        if self.scale == 1:
            return image
        mode = "bilinear" if self.released else "bicubic"
        size = [self.scale * side for side in image.shape[2:]]  # not by a factor, which an exported graph must round
        return functional.interpolate(image, size, mode=mode, align_corners=False)


def _activated(states: Sequence[Tensor]) -> Tensor:
    return functional.leaky_relu(torch.cat(list(states), dim=1), SLOPE)


def _upsampling(width: int, factor: int) -> list[nn.Module]:
    """Sub-pixel up-sampling without activations: by 2 or 3 at once, by 4 and 8 in steps of 2."""
    steps = [factor] if factor in (2, 3) else [2] * int(math.log2(factor))
    return [
        layer
        for step in steps
        for layer in (nn.Conv2d(width, step * step * width, 3, padding=1), nn.PixelShuffle(step))
    ]
