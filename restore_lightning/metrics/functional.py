"""PSNR and SSIM, one value per image.

The same code takes PyTorch tensors, on any device, and NumPy arrays, for which it does not import PyTorch: that takes
longer than scoring dozens of image files.
"""

from functools import lru_cache
from typing import Literal

import numpy as np

from restore_lightning.io.arrays import Array, as_float64, namespace

SSIMWindow = Literal["matlab", "skimage"]
WINDOW_SIZE: dict[SSIMWindow, int] = {"matlab": 11, "skimage": 7}
BLOCK = 32
"""Rows that are scored at once, and columns that SSIM filters by products with small matrices: float64 copies of whole
images would need much memory and leave the processor's caches, and larger products would start threads."""


def psnr(restored: Array, clean: Array, data_range: float = 255.0) -> Array:
    """Peak signal-to-noise ratio of each image in dB; infinite where both are equal.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        data_range: The largest value.

    Returns:
        (B,) float64.
    """
    xp = namespace(restored)
    channels, height, width = restored.shape[-3:]
    total = xp.zeros(len(restored), dtype=xp.float64, device=restored.device)
    for top in range(0, height, BLOCK):
        error = as_float64(restored[..., top : top + BLOCK, :]) - as_float64(clean[..., top : top + BLOCK, :])
        total += xp.sum(error * error, axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * xp.log10(data_range**2 * channels * height * width / total)


def ssim(restored: Array, clean: Array, window: SSIMWindow, data_range: float = 255.0) -> Array:
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
    channels, height, width = restored.shape[-3:]
    if min(height, width) < size:
        raise ValueError(f"SSIM ({window}) needs {size}x{size} pixels, the image is {height}x{width}")
    xp = namespace(restored)
    down, across = (xp.asarray(weights, dtype=xp.float64, device=restored.device) for weights in _bands(window))
    rows, columns = height - size + 1, width - size + 1
    total = xp.zeros(len(restored), dtype=xp.float64, device=restored.device)
    for top in range(0, rows, BLOCK):
        strip = slice(top, top + BLOCK + size - 1)
        x, y = as_float64(restored[..., strip, :]), as_float64(clean[..., strip, :])
        filtered = _filtered(xp.stack([x, y, x * x + y * y, x * y]), down, across)
        total += xp.sum(_similarity(filtered, window, data_range), axis=(1, 2, 3))
    return total / (channels * rows * columns)


def _filtered(maps: Array, down: Array, across: Array) -> Array:
    """Weighted means over windows: (..., H, W) -> (..., H - size + 1, W - size + 1), where H is a block's at most."""
    margin = down.shape[1] - down.shape[0]
    rows, columns = maps.shape[-2] - margin, maps.shape[-1] - margin
    down = down[:rows, : rows + margin]
    parts = []
    for left in range(0, columns, BLOCK):
        part = maps[..., left : left + BLOCK + margin]
        parts.append(down @ part @ across[: part.shape[-1], : part.shape[-1] - margin])
    return namespace(maps).concatenate(parts, axis=-1)


def _similarity(filtered: Array, window: SSIMWindow, data_range: float) -> Array:
    """The SSIM map of two images from the means of x, y, x^2 + y^2 and x y."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    pixels = WINDOW_SIZE[window] ** 2
    sample = pixels / (pixels - 1) if window == "skimage" else 1.0
    mean_x, mean_y, squares, product = filtered
    means, square_means = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    alike = (2 * means + c1) * (2 * sample * (product - means) + c2)
    return alike / ((square_means + c1) * (sample * (squares - square_means) + c2))


@lru_cache
def _bands(window: SSIMWindow) -> tuple[np.ndarray, np.ndarray]:
    """(BLOCK, BLOCK + size - 1): row i weighs the pixels i to i + size - 1 as the window does; and its transpose."""
    size = WINDOW_SIZE[window]
    places = np.arange(size) - size // 2
    weights = np.exp(-(places**2) / (2 * 1.5**2)) if window == "matlab" else np.ones(size)
    band = np.stack([np.pad(weights / weights.sum(), (i, BLOCK - 1 - i)) for i in range(BLOCK)])
    return band, np.ascontiguousarray(band.T)
