"""PSNR and SSIM, one value per image."""

from typing import Literal

import torch
from kornia.metrics import ssim as gaussian_ssim_map
from torch import Tensor
from torch.nn.functional import avg_pool2d

Window = Literal["matlab", "skimage"]
WINDOW_SIZE: dict[Window, int] = {"matlab": 11, "skimage": 7}


def psnr(restored: Tensor, clean: Tensor, data_range: float = 255.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB; infinite where both are equal.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        data_range: The largest value.

    Returns:
        (B,) float64.
    """
    error = (restored.double() - clean.double()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(data_range**2 / error)


def ssim(restored: Tensor, clean: Tensor, window: Window, data_range: float = 255.0) -> Tensor:
    """Structural similarity of each image, averaged over channels and the window's valid region.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        window: "matlab": Gaussian 11x11, sigma 1.5, population covariance (the original code).
            "skimage": uniform 7x7, sample covariance (scikit-image's default).
        data_range: The largest value.

    Returns:
        (B,) float64.

    Raises:
        ValueError: An image smaller than the window.
    """
    size = WINDOW_SIZE[window]
    if min(restored.shape[-2:]) < size:
        raise ValueError(f"SSIM ({window}) needs {size}x{size} pixels, the image is {tuple(restored.shape[-2:])}")
    restored, clean = restored.double(), clean.double()
    if window == "matlab":
        return gaussian_ssim_map(restored, clean, size, data_range, eps=0.0, padding="valid").mean(dim=(1, 2, 3))
    return _uniform_ssim_map(restored, clean, size, data_range).mean(dim=(1, 2, 3))


def _uniform_ssim_map(x: Tensor, y: Tensor, size: int, data_range: float) -> Tensor:
    """The SSIM map of scikit-image's `structural_similarity` without its border."""

    def mean(image: Tensor) -> Tensor:
        return avg_pool2d(image, size, stride=1)

    sample = size * size / (size * size - 1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = mean(x), mean(y)
    variance_x = sample * (mean(x * x) - mean_x**2)
    variance_y = sample * (mean(y * y) - mean_y**2)
    covariance = sample * (mean(x * y) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


def mean_over_images(values: Tensor) -> float:
    """The mean; identical images, whose PSNR is infinite, do not swallow the others."""
    finite = values[~torch.isposinf(values)]
    return float(finite.mean()) if len(finite) else float(values.mean())
