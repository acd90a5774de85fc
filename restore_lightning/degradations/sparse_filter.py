"""Filters of few taps, as streaks and motion blur are: lines in a large kernel."""

import torch
from torch import Tensor


def correlate(image: Tensor, kernel: Tensor) -> Tensor:
    """Correlate images with a kernel that is mostly zero, where it lies within them.

    The sum of shifted images, a shift for each tap. On 256x256 pixels with a line of 30 taps that takes a twentieth of
    the time of a transform, and the result does not depend on the number of threads.

    Args:
        image: (C, H, W).
        kernel: (h, w). Taps that together are below the rounding of the image's type are left out.

    Returns:
        (C, H - h + 1, W - w + 1) of the image's type.
    """
    height, width = image.shape[1] - kernel.shape[0] + 1, image.shape[2] - kernel.shape[1] + 1
    least = torch.finfo(image.dtype).eps * float(kernel.abs().sum()) / kernel.numel()
    result = image.new_zeros(len(image), height, width)
    for top, left in (kernel.abs() > least).nonzero().tolist():
        shifted = image[:, top : top + height, left : left + width]
        result.add_(shifted, alpha=float(kernel[top, left]))
    return result
