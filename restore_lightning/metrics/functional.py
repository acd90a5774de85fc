"""PSNR and SSIM, one value per image.

The same code takes PyTorch tensors, on any device, and NumPy arrays, for which it does not import PyTorch: that takes
longer than scoring dozens of image files.
"""

from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from restore_lightning.io.arrays import Array, as_float64, namespace, square_blocks, where_float64_is

SSIMWindow = Literal["matlab", "skimage"]
WINDOW_SIZE: dict[SSIMWindow, int] = {"matlab": 11, "skimage": 7}
BLOCK = 32
"""Pixels per side of the squares that SSIM filters, by products with small matrices: larger ones would cost more and
start threads. On a CPU as many rows are scored at once: float64 copies of whole images would leave its caches."""
MAPS = 2**26
"""Bytes of the maps that SSIM filters at once on other devices, whose time goes to the number of operations; about five
times as much is needed while it does."""


def psnr(restored: Array, clean: Array, data_range: float = 255.0, rows: int | None = None) -> Array:
    """Peak signal-to-noise ratio of each image in dB; infinite where both are equal.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        data_range: The largest value.
        rows: Scored at once; None: as suits the device.

    Returns:
        (B,) float64, on the images' device if that has float64, else on the CPU.
    """
    restored, clean = where_float64_is(restored), where_float64_is(clean)
    xp = namespace(restored)
    rows = rows or _rows_at_once(restored)
    channels, height, width = restored.shape[-3:]
    total = xp.zeros(len(restored), dtype=xp.float64, device=restored.device)
    for top in range(0, height, rows):
        error = as_float64(restored[..., top : top + rows, :]) - as_float64(clean[..., top : top + rows, :])
        total += xp.sum(error * error, axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * xp.log10(data_range**2 * channels * height * width / total)


def ssim(
    restored: Array, clean: Array, window: SSIMWindow, data_range: float = 255.0, rows: int | None = None
) -> Array:
    """Structural similarity of each image, averaged over channels and the window's valid region.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        window: "matlab": Gaussian 11x11, sigma 1.5, population covariance (the original code).
            "skimage": uniform 7x7, sample covariance (scikit-image's default).
        data_range: The largest value.
        rows: Scored at once, rounded up to whole blocks; None: as suits the device.

    Returns:
        (B,) float64, on the images' device if that has float64, else on the CPU.

    Raises:
        ValueError: An image smaller than the window.
    """
    size = WINDOW_SIZE[window]
    height, width = restored.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"SSIM ({window}) needs {size}x{size} pixels, the image is {height}x{width}")
    restored, clean = where_float64_is(restored), where_float64_is(clean)
    xp = namespace(restored)
    below, right = height - size + 1, width - size + 1
    at_once = _whole_blocks(min(rows or _rows_at_once(restored), below))
    # Filled up with zeros to whole blocks.
    shape = (4, *restored.shape[:2], at_once + size - 1, _whole_blocks(right) + size - 1)
    total = xp.zeros(len(restored), dtype=xp.float64, device=restored.device)
    for top in range(0, below, at_once):
        strip = slice(top, top + at_once + size - 1)
        x, y = as_float64(restored[..., strip, :]), as_float64(clean[..., strip, :])
        maps = xp.zeros(shape, dtype=xp.float64, device=restored.device)
        for place, values in enumerate((x, y, x * x + y * y, x * y)):
            maps[place, ..., : x.shape[-2], :width] = values
        filtered = _filtered(maps, window)[..., : x.shape[-2] - size + 1, :right]
        total += xp.sum(_similarity(filtered, window, data_range), axis=(1, 2, 3))
    return total / (restored.shape[1] * below * right)


def _rows_at_once(images: Array) -> int:
    """How many rows of (B, C, H, W) suit the device."""
    if isinstance(images, np.ndarray) or images.device.type == "cpu":
        return BLOCK
    batch, channels, _, width = images.shape
    return max(BLOCK, MAPS // (4 * 8 * max(1, batch * channels * width)))


def _whole_blocks(pixels: int) -> int:
    return pixels + -pixels % BLOCK


def _filtered(maps: Array, window: SSIMWindow) -> Array:
    """Weighted means over windows: (..., H, W) -> (..., H - size + 1, W - size + 1), both multiples of `BLOCK`."""
    xp = namespace(maps)
    margin = WINDOW_SIZE[window] - 1
    down, across = _bands(window, xp, maps.device)
    blocks = down @ square_blocks(maps, BLOCK + margin, BLOCK) @ across
    shape = (*maps.shape[:-2], maps.shape[-2] - margin, maps.shape[-1] - margin)
    return xp.moveaxis(blocks, -2, -3).reshape(shape)


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
def _bands(window: SSIMWindow, xp: Any, device: Any) -> tuple[Any, Any]:
    """(BLOCK, BLOCK + size - 1): row i weighs the pixels i to i + size - 1 as the window does; and its transpose."""
    size = WINDOW_SIZE[window]
    places = np.arange(size) - size // 2
    weights = np.exp(-(places**2) / (2 * 1.5**2)) if window == "matlab" else np.ones(size)
    band = np.stack([np.pad(weights / weights.sum(), (i, BLOCK - 1 - i)) for i in range(BLOCK)])
    # Kept for calls that need gradients, too, wherever the first one comes from.
    with nullcontext() if xp is np else xp.inference_mode(False):
        down, across = (xp.asarray(one, device=device) for one in (band, np.ascontiguousarray(band.T)))
    return down, across
