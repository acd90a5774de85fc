"""Convolutions and re-sampling that the restoration networks are made of."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.normalisation import at_least_float32, without_autocast


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def to_channels_last(network: nn.Module) -> None:
    """Lay a network's 2-D convolutions out with their channels last, which is faster; names and results stay.

    `Module.to(memory_format=...)` refuses networks that have parameters of five dimensions.
    """
    for parameter in network.parameters():
        if parameter.dim() == 4:
            # Not `contiguous`, which leaves 1x1 kernels the strides of channels first: DDP warns of their gradients'.
            laid_out = torch.empty_like(parameter, memory_format=torch.channels_last, requires_grad=False)
            parameter.data = laid_out.copy_(parameter.data)


def reflect_pad(x: Tensor, pad: int) -> Tensor:
    """(B, C, H, W) -> (B, C, H + 2 * pad, W + 2 * pad), continued by reflection that does not repeat the border.

    torch's deterministic gradient on CUDA (`reflection_pad2d_backward_det_out_kernel`) leaves out terms of maps so
    narrow that a column is mirrored at the left and at the right: these are padded by slices where deterministic
    algorithms are asked for. Elsewhere slices are slower, by far where channels are last.
    """
    if torch.are_deterministic_algorithms_enabled() and x.shape[3] <= 2 * pad + 1:
        for dim in (2, 3):
            before, after = x.narrow(dim, 1, pad), x.narrow(dim, -1 - pad, pad)
            x = torch.cat([before.flip(dim), x, after.flip(dim)], dim)
        return x
    with without_autocast(x):  # on a CPU it would copy half precision to float32, and the convolution back
        return functional.pad(x, (pad,) * 4, mode="reflect")


class PaddedConv2d(nn.Conv2d):
    """A square convolution with an odd kernel, padded by reflection or zeros so that stride 1 keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, dilation: int, zeros: bool) -> None:
        pad = dilation * (kernel - 1) // 2
        super().__init__(inputs, outputs, kernel, stride, pad, dilation, padding_mode="zeros" if zeros else "reflect")
        self.pad = pad
        self.skips = dilation > 1 or (kernel == 1 and stride > 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride), rounded up."""
        weight, pad = self.weight, 0
        last = x.is_contiguous(memory_format=torch.channels_last)
        if self.padding_mode == "zeros":
            pad = self.pad
        elif self.pad:
            x = reflect_pad(x, self.pad)
        # oneDNN's gradient of a bfloat16 kernel that skips positions reads and writes beyond its memory where channels
        # are last and no multiple of 16: NaN, or the end of the process (torch 2.13).
        first = self.skips and x.device.type == "cpu"
        if first:
            x, weight = x.contiguous(), weight.contiguous()
        y = functional.conv2d(x, weight, self.bias, self.stride, pad, self.dilation)
        return y.contiguous(memory_format=torch.channels_last) if first and last else y


def conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1, zeros: bool = False
) -> nn.Conv2d:
    """The papers' "reflect convolution": padded by reflection, or by zeros, so that stride 1 keeps the size."""
    return PaddedConv2d(inputs, outputs, kernel, stride, dilation, zeros)


def conv_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A reflect convolution and a ReLU."""
    return nn.Sequential(conv(inputs, outputs, kernel, stride), nn.ReLU())


def upsample(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """Up-sampling by 2: a convolution to four times `outputs` channels, then a pixel shuffle."""
    return nn.Sequential(conv(inputs, 4 * outputs, kernel), nn.PixelShuffle(2))


HALVED = (-0.09375, 0.59375, 0.59375, -0.09375)
"""Bicubic weights (a = -0.75) of four pixels in a row for the middle between the second and the third."""
DOUBLED = (-0.03515625, 0.26171875, 0.87890625, -0.10546875)
"""The same at three quarters of the way from the second to the third."""


def downsample(image: Tensor) -> Tensor:
    """Bicubic x1/2 without antialiasing, the pyramid of the multi-scale branches: (B, C, H, W), odd sides rounded down.

    The numbers of `interpolate(image, scale_factor=0.5, mode="bicubic")`, in float32 at least, by operations whose
    gradients are deterministic on every device.
    """
    x = at_least_float32(image)
    for dim in (2, 3):
        half = x.shape[dim] // 2
        after = [x.narrow(dim, -1, 1)] if x.shape[dim] % 2 == 0 else []
        rows = torch.cat([x.narrow(dim, 0, 1), x, *after], dim)
        pairs = rows.unflatten(dim, (half + 1, 2)).unbind(dim + 1)  # type: ignore[no-untyped-call]
        x = _weighted([pair.narrow(dim, start, half) for start in (0, 1) for pair in pairs], HALVED)
    return x.to(image.dtype)


def pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """An image at 1/2, 1/4, ... and full size, coarsest first: inputs and targets of a multi-scale branch."""
    levels = [image]
    while len(levels) < scales:
        levels.insert(0, downsample(levels[0]))
    return levels


def upsample_image(image: Tensor) -> Tensor:
    """Bicubic x2 of (B, C, H, W): `interpolate`'s numbers, as those of `downsample`."""
    x = at_least_float32(image)
    for dim in (2, 3):
        size = x.shape[dim]
        rows = torch.cat([x.narrow(dim, 0, 1)] * 2 + [x] + [x.narrow(dim, -1, 1)] * 2, dim)
        shifted = [rows.narrow(dim, start, size) for start in range(5)]
        phases = [_weighted(shifted[:4], DOUBLED), _weighted(shifted[1:], DOUBLED[::-1])]
        x = torch.stack(phases, dim + 1).flatten(dim, dim + 1)
    return x.to(image.dtype)


def _weighted(maps: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = maps[0] * weights[0]
    for each, weight in zip(maps[1:], weights[1:], strict=True):
        total = total.add(each, alpha=weight)
    return total
