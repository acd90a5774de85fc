"""PromptIR (Potlapalli et al., "PromptIR: Prompting for All-in-One Blind Image Restoration", NeurIPS 2023)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.info import NetworkInfo, SizeRule
from restore_lightning.networks.transformer import LEVELS, LayerNorm, TransformerBlock, TransformerUNet


class Prompt(nn.Module):
    """Learned maps, mixed by what a feature map shows, and their interaction with it (sections 3.1.1 and 3.1.2).

    Args:
        inputs: Channels of the feature map.
        outputs: Channels of the result.
        count: Learned maps.
        channels: Of each of them.
        size: Their sides (positions); they are resized to the feature map's.
        block: channels -> the transformer block for map and prompt together.
        bias: Of the last convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        count: int,
        channels: int,
        size: int,
        block: Callable[[int], TransformerBlock],
        bias: bool,
    ) -> None:
        super().__init__()
        self.components = nn.Parameter(torch.rand(1, count, channels, size, size))
        self.weights = nn.Linear(inputs, count)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.block = block(inputs + channels)
        self.reduce = nn.Conv2d(inputs + channels, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        weights = self.weights(x.mean(dim=(2, 3))).softmax(dim=1)
        mixed = torch.einsum("bn,nchw->bchw", weights, self.components[0])
        resized = functional.interpolate(mixed, x.shape[2:], mode="bilinear", align_corners=False)
        return self.reduce(self.block(torch.cat([x, self.conv(resized)], dim=1)))


class PromptIR(nn.Module):
    """Restormer with prompts in its decoder: one network for several factors that is told none.

    Its defaults are the released network (35,376,967 parameters).

    Args:
        width: Channels at full resolution, even.
        blocks: Numbers of blocks of the four levels, finest first.
        refinement: Blocks after the decoder.
        heads: Of the attention on the four levels.
        expansion: Of the feed-forward networks.
        bias: Of the convolutions; the first one, the prompts', down- and up-sampling have none.
        layer_norm: "WithBias", or "BiasFree" without mean and bias.
        image_channels: 3, or 1 for gray images.
        prompts: Learned maps of each prompt.
        prompt_channels: Of the maps before the decoder's levels 1, 2 and 3.
        prompt_sizes: Their sides (positions): by default those of the features of a crop of 128 pixels.
        prompt_heads: Of the prompts' blocks.

    Raises:
        ValueError: Numbers out of range, or not one for each level.
    """

    def __init__(
        self,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        bias: bool = False,
        layer_norm: LayerNorm = "WithBias",
        image_channels: int = 3,
        prompts: int = 5,
        prompt_channels: Sequence[int] = (64, 128, 320),
        prompt_sizes: Sequence[int] = (64, 32, 16),
        prompt_heads: int = 4,
    ) -> None:
        super().__init__()
        for name, values in (("prompt_channels", prompt_channels), ("prompt_sizes", prompt_sizes)):
            if len(values) != LEVELS - 1 or min(values) < 1:
                raise ValueError(f"{name}={list(values)}: give {LEVELS - 1} numbers, each at least 1")
        for name, value in (("image_channels", image_channels), ("prompts", prompts)):
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}={value!r}: a whole number, at least 1")
        self.info = NetworkInfo(channels=image_channels, scale=1, sizes=SizeRule(8, 8), channels_last=True)
        block = partial(TransformerBlock, expansion=expansion, bias=bias, layer_norm=layer_norm)
        self.unet = TransformerUNet(
            width,
            blocks,
            refinement,
            heads,
            block,
            bias,
            [
                (
                    Prompt(more * width, less * width, prompts, c, size, partial(block, heads=prompt_heads), bias),
                    less * width,
                )
                for more, less, c, size in zip((2, 4, 8), (2, 4, 4), prompt_channels, prompt_sizes, strict=True)
            ],
        )
        self.embed = nn.Conv2d(image_channels, width, 3, padding=1, bias=False)
        self.output = nn.Conv2d(2 * width, image_channels, 3, padding=1, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """Restore.

        Args:
            image: (B, image_channels, H, W) in [0, 1], sides as in `info.sizes`.

        Returns:
            The same shape, not clamped.
        """
        return self.output(self.unet(self.embed(image))) + image
