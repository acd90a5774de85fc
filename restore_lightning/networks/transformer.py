"""Transformer blocks that attend across channels, and the U that Restormer and PromptIR are made of.

Source: Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022, section 3.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.normalisation import ChannelNorm, at_least_float32

LayerNorm = Literal["WithBias", "BiasFree"]
EPS = 1e-5
"""Of the normalisation."""
LEVELS = 4
"""Resolutions: 1, 1/2, 1/4 and 1/8."""


class ChannelAttentionHeads(nn.Module):
    """Multi-DConv head transposed attention (section 3.1): heads of channels attend to each other over all pixels.

    Args:
        channels: Of the map.
        heads: Contiguous groups of channels.
        bias: Of the convolutions.
    """

    def __init__(self, channels: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=bias)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        parts = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        q, k, v = (part.reshape(x.shape[0], self.heads, -1, x.shape[2] * x.shape[3]) for part in parts)
        q, k = (functional.normalize(at_least_float32(part), dim=-1).to(part.dtype) for part in (q, k))
        weights = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return self.project_out((weights.to(v.dtype) @ v).reshape(x.shape))


class GatedFeedForward(nn.Module):
    """Gated-DConv feed-forward network (section 3.2): GELU of one half of the hidden channels times the other.

    Args:
        channels: Of the map.
        expansion: Hidden channels as a multiple of them, rounded down.
        bias: Of the convolutions.
    """

    def __init__(self, channels: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        first, second = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(functional.gelu(first) * second)


class TransformerBlock(nn.Module):
    """Attention, then the feed-forward network, each of the normalised map and added to it.

    Args:
        channels: Of the map.
        heads: Of the attention; a divisor of `channels`.
        expansion: Of the feed-forward network.
        bias: Of the convolutions.
        layer_norm: "WithBias", or "BiasFree": neither mean nor bias (see `ChannelNorm`).

    Raises:
        ValueError: A number of heads that does not divide the channels, or an expansion that leaves no channel.
    """

    def __init__(self, channels: int, heads: int, expansion: float, bias: bool, layer_norm: LayerNorm) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"heads={heads}: a divisor of the level's {channels} channels")
        if int(channels * expansion) < 1:
            raise ValueError(f"expansion={expansion}: leaves none of {channels} channels, give more")
        self.norm1 = ChannelNorm(channels, EPS, bias=layer_norm == "WithBias")
        self.attn = ChannelAttentionHeads(channels, heads, bias)
        self.norm2 = ChannelNorm(channels, EPS, bias=layer_norm == "WithBias")
        self.ffn = GatedFeedForward(channels, expansion, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class TransformerUNet(nn.Module):
    """Four levels of transformer blocks: (B, width, H, W) -> (B, 2 * width, H, W), sides multiples of 8.

    Args:
        width: Channels at full resolution, even; doubled at each level.
        blocks: Numbers of blocks of the four levels, finest first; the decoder's as the encoder's.
        refinement: Blocks after the decoder.
        heads: Of the four levels.
        block: `(channels, heads)` -> a transformer block.
        bias: Of the 1x1 convolutions that reduce channels.
        prompts: What a map goes through before it is up-sampled to level 1, 2 and 3, and the channels that it has
            afterwards; none: nothing.

    Raises:
        ValueError: Numbers out of range, or not one for each level.
    """

    def __init__(
        self,
        width: int,
        blocks: Sequence[int],
        refinement: int,
        heads: Sequence[int],
        block: Callable[[int, int], TransformerBlock],
        bias: bool,
        prompts: Sequence[tuple[nn.Module, int]] = (),
    ) -> None:
        super().__init__()
        if type(width) is not int or width < 2 or width % 2:
            raise ValueError(f"width={width!r}: an even number, at least 2")
        for name, values in (("blocks", blocks), ("heads", heads)):
            if len(values) != LEVELS:
                raise ValueError(f"{name}={list(values)}: give {LEVELS} numbers, one for each level")
        if min(*blocks, refinement) < 0:
            raise ValueError(f"blocks={list(blocks)}, refinement={refinement}: numbers of blocks, none below 0")
        channels = [width * 2**level for level in range(LEVELS)]

        def stage(inputs: int, count: int, head: int) -> nn.Sequential:
            return nn.Sequential(*(block(inputs, head) for _ in range(count)))

        self.encoders = nn.ModuleList(map(stage, channels[:-1], blocks[:-1], heads[:-1]))
        self.downs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2)) for c in channels[:-1]
        )
        self.latent = stage(channels[-1], blocks[-1], heads[-1])
        self.prompts = nn.ModuleList(module for module, _ in prompts or [(nn.Identity(), 0)] * (LEVELS - 1))
        prompted = [outputs for _, outputs in prompts] or channels[1:]
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, 2 * c, 3, padding=1, bias=False), nn.PixelShuffle(2)) for c in prompted
        )
        # Level 1 keeps the channels of both maps.
        self.reduces = nn.ModuleList([nn.Identity()])
        self.reduces.extend(
            nn.Conv2d(below // 2 + c, c, 1, bias=bias) for below, c in zip(prompted[1:], channels[1:-1], strict=True)
        )
        decoded = [prompted[0] // 2 + width, *channels[1:-1]]
        self.decoders = nn.ModuleList(map(stage, decoded, blocks[:-1], heads[:-1]))
        self.refinement = stage(decoded[0], refinement, heads[0])

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, 2 * width, H, W)."""
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.latent(x)
        for level in reversed(range(LEVELS - 1)):
            x = torch.cat([self.ups[level](self.prompts[level](x)), skips[level]], dim=1)
            x = self.decoders[level](self.reduces[level](x))
        return self.refinement(x)
