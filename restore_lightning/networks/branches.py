"""Input and output branches of the multi-branch network, and the forward path of each kind of pair.

Pairs are data: `PAIRS` names input branch, output branch and forward path of each kind. All widths are
multiples of one `width` (paper 2: 32). An output branch ends in tanh and the path adds the image,
so that a branch predicts a residual.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from restore_lightning.networks.convlstm import ConvLSTM
from restore_lightning.networks.layers import conv, conv_relu, pyramid, upsample, upsample_image

PairKind = Literal["basic", "convlstm", "multiscale"]
Trunk = Callable[[Tensor, Tensor], Tensor]
Run = Callable[..., Any]
"""Calls a step of a path, `run(step, *inputs)`: at once, or with activation checkpointing."""


@dataclass(frozen=True)
class BranchSettings:
    """What all branches of a network share.

    Args:
        width: Channels next to the image; r has 2 and x has 3 times as many.
        iterations: Passes of a "convlstm" pair.
        scales: Scales of a "multiscale" pair.
        text_widths: "basic" pairs have the widths of paper 2's text instead of its tables 7 and 8.
        released: "multiscale" outputs compute as the released network does.
    """

    width: int = 32
    iterations: int = 4
    scales: int = 3
    text_widths: bool = False
    released: bool = False


class BasicInput(nn.Module):
    """Three 3x3 convolutions with strides 1, 2, 2 (paper 2's I4): x at 1/4, r at 1/2 resolution.

    The text's widths (48, 96, 96 in the paper) leave r to a convolution of its own.
    """

    def __init__(self, settings: BranchSettings) -> None:
        super().__init__()
        width, text = settings.width, settings.text_widths
        first, middle = (3 * width // 2, 3 * width) if text else (width, 2 * width)
        self.at_half = nn.Sequential(conv_relu(3, first), conv_relu(first, middle, stride=2))
        self.residual = conv_relu(middle, 2 * width) if text else nn.Identity()
        self.at_quarter = conv_relu(middle, 3 * width, stride=2)
        self.r_stride = 2

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> x (B, 3*width, H/4, W/4), r (B, 2*width, H/2, W/2)."""
        half = self.at_half(image)
        return self.at_quarter(half), self.residual(half)


class BasicOutput(nn.Module):
    """Two up-samplings with convolutions, and a last convolution (paper 2's g4)."""

    def __init__(self, settings: BranchSettings) -> None:
        super().__init__()
        width, text = settings.width, settings.text_widths
        half, full = (3 * width, 3 * width) if text else (2 * width, width)
        self.body = nn.Sequential(
            upsample(3 * width, 3 * width),
            conv_relu(3 * width, half),
            upsample(half, half),
            conv_relu(half, full),
        )
        if text:
            self.body.append(conv_relu(full, 3 * width // 2))
        self.last = nn.ModuleList([conv(3 * width // 2 if text else full, 3)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3*width, H/4, W/4) -> residual image (B, 3, H, W) in (-1, 1)."""
        residual: Tensor = self.last[0](self.body(x))
        return residual.tanh()


def forward_basic(
    input_branch: nn.Module, output_branch: nn.Module, trunk: Trunk, run: Run, image: Tensor
) -> list[Tensor]:
    """One step."""

    def step(image: Tensor) -> Tensor:
        return output_branch(trunk(*input_branch(image))) + image

    return [run(step, image)]


class ConvLSTMInput(nn.Module):
    """The progressive branch (paper 2, A.2.1): conv, ConvLSTM, conv = r, x at 1/2 resolution."""

    def __init__(self, settings: BranchSettings) -> None:
        super().__init__()
        width = settings.width
        self.iterations = settings.iterations
        self.conv = conv_relu(6, width)
        self.lstm = ConvLSTM(width)
        self.residual = conv_relu(width, 2 * width)
        self.at_half = nn.Sequential(nn.PixelUnshuffle(2), conv_relu(8 * width, 3 * width))
        self.r_stride = 1

    def forward(
        self, images: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """(B, 6, H, W): estimate and input -> x (B, 3*width, H/2, W/2), r (B, 2*width, H, W), state."""
        state = self.lstm(self.conv(images), state)
        r = self.residual(state[0])
        return self.at_half(r), r, state


class ConvLSTMOutput(nn.Module):
    """One up-sampling and two convolutions (paper 2's g1)."""

    def __init__(self, settings: BranchSettings) -> None:
        super().__init__()
        channels = 3 * settings.width // 2
        self.body = nn.Sequential(upsample(3 * settings.width, channels), conv_relu(channels, channels))
        self.last = nn.ModuleList([conv(channels, 3)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3*width, H/2, W/2) -> residual image (B, 3, H, W) in (-1, 1)."""
        residual: Tensor = self.last[0](self.body(x))
        return residual.tanh()


def forward_convlstm(
    input_branch: Any, output_branch: nn.Module, trunk: Trunk, run: Run, image: Tensor
) -> list[Tensor]:
    """Progressive restoration: each step reads the last estimate beside the image; the last one counts."""

    def step(estimate: Tensor, image: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        x, r, state = input_branch(torch.cat([estimate, image], dim=1), state or None)
        return output_branch(trunk(x, r)) + image, *state

    estimate, state = image, ()
    for _ in range(input_branch.iterations):
        estimate, *state = run(step, estimate, image, *state)
    return [estimate]


class MultiScaleInput(nn.Module):
    """The scale-recurrent branch with selective sharing (paper 2, A.2.2): x at 1/4, r at 1/2 of its scale.

    The first convolution of each level belongs to one scale, the two that follow are shared.
    Scale 0 is the coarsest and reads the image alone; the others read the image and the coarser
    scale's output.
    """

    def __init__(self, settings: BranchSettings) -> None:
        super().__init__()
        width, self.scales = settings.width, settings.scales
        scales = range(self.scales)
        self.at_full = nn.ModuleList(conv_relu(3 if scale == 0 else 6, width) for scale in scales)
        self.full_shared = nn.Sequential(conv_relu(width, width), conv_relu(width, width), nn.PixelUnshuffle(2))
        self.at_half = nn.ModuleList(conv_relu(4 * width, 2 * width) for _ in scales)
        self.half_shared = nn.Sequential(conv_relu(2 * width, 2 * width), conv_relu(2 * width, 2 * width))
        self.unshuffle = nn.PixelUnshuffle(2)
        self.at_quarter = nn.ModuleList(conv_relu(8 * width, 3 * width) for _ in scales)
        self.r_stride = 2**self.scales

    def forward(self, images: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        """(B, 3 or 6, H, W) -> x (B, 3*width, H/4, W/4), r (B, 2*width, H/2, W/2)."""
        r = self.half_shared(self.at_half[scale](self.full_shared(self.at_full[scale](images))))
        return self.at_quarter[scale](self.unshuffle(r)), r


class MultiScaleOutput(nn.Module):
    """Paper 2's g2 and g3, symmetric to `MultiScaleInput`.

    As released (`BranchSettings.released`), every scale writes with the coarsest scale's last
    convolution, and the finest scale skips the second shared convolution at full resolution.
    """

    def __init__(self, settings: BranchSettings) -> None:
        super().__init__()
        width, self.released = settings.width, settings.released
        scales = range(settings.scales)
        self.at_half = nn.ModuleList(
            nn.Sequential(upsample(3 * width, 3 * width), conv_relu(3 * width, 2 * width)) for _ in scales
        )
        self.half_shared = nn.Sequential(conv_relu(2 * width, 2 * width), conv_relu(2 * width, 2 * width))
        self.at_full = nn.ModuleList(
            nn.Sequential(upsample(2 * width, 2 * width), conv_relu(2 * width, width)) for _ in scales
        )
        self.full_shared = nn.ModuleList([conv_relu(width, width), conv_relu(width, width)])
        self.last = nn.ModuleList(conv(width, 3) for _ in scales)

    def forward(self, x: Tensor, scale: int) -> Tensor:
        """(B, 3*width, H/4, W/4) -> residual image (B, 3, H, W) in (-1, 1)."""
        x = self.full_shared[0](self.at_full[scale](self.half_shared(self.at_half[scale](x))))
        finest = scale == len(self.last) - 1
        if not (self.released and finest):
            x = self.full_shared[1](x)
        residual: Tensor = self.last[0 if self.released else scale](x)
        return residual.tanh()


def forward_multiscale(
    input_branch: Any, output_branch: nn.Module, trunk: Trunk, run: Run, image: Tensor
) -> list[Tensor]:
    """Coarse to fine over a bicubic pyramid of the image; one output per scale, coarsest first."""

    def step(scale: int, level: Tensor, *coarser: Tensor) -> Tensor:
        images = torch.cat([level, *map(upsample_image, coarser)], dim=1)
        return output_branch(trunk(*input_branch(images, scale)), scale) + level

    outputs: list[Tensor] = []
    for scale, level in enumerate(pyramid(image, input_branch.scales)):
        outputs.append(run(step, scale, level, *outputs[-1:]))
    return outputs


class BranchPair(NamedTuple):
    """Input branch, output branch, and the path (input branch, output branch, trunk, run, image) -> outputs.

    An input branch says by `r_stride` how many pixels of the image one pixel of its r covers,
    where r is smallest. An output branch holds the convolutions that write the image in `last`.
    """

    input_branch: Callable[[BranchSettings], nn.Module]
    output_branch: Callable[[BranchSettings], nn.Module]
    forward: Callable[[nn.Module, nn.Module, Trunk, Run, Tensor], list[Tensor]]


PAIRS: dict[PairKind, BranchPair] = {
    "basic": BranchPair(BasicInput, BasicOutput, forward_basic),
    "convlstm": BranchPair(ConvLSTMInput, ConvLSTMOutput, forward_convlstm),
    "multiscale": BranchPair(MultiScaleInput, MultiScaleOutput, forward_multiscale),
}
