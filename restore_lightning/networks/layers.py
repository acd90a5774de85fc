"""Convolutions and re-sampling that the restoration networks are made of."""

from torch import Tensor, nn
from torch.nn import functional


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1, zeros: bool = False
) -> nn.Conv2d:
    """The papers' "reflect convolution": padded by reflection, or by zeros, so that stride 1 keeps the size."""
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, padding_mode="zeros" if zeros else "reflect")


def conv_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A reflect convolution and a ReLU."""
    return nn.Sequential(conv(inputs, outputs, kernel, stride), nn.ReLU())


def upsample(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """Up-sampling by 2: a convolution to four times `outputs` channels, then a pixel shuffle."""
    return nn.Sequential(conv(inputs, 4 * outputs, kernel), nn.PixelShuffle(2))


def downsample(image: Tensor) -> Tensor:
    """Bicubic x1/2 without antialiasing, the pyramid of the multi-scale branches. (B, C, H, W)."""
    return functional.interpolate(image, scale_factor=0.5, mode="bicubic", align_corners=False)


def pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """An image at 1/2, 1/4, ... and full size, coarsest first: inputs and targets of a multi-scale branch."""
    levels = [image]
    while len(levels) < scales:
        levels.insert(0, downsample(levels[0]))
    return levels


def upsample_image(image: Tensor) -> Tensor:
    """Bicubic x2 of (B, C, H, W)."""
    return functional.interpolate(image, scale_factor=2.0, mode="bicubic", align_corners=False)
