"""PSNR and SSIM, one value per image.

The same code takes PyTorch tensors, on any device, and NumPy arrays, for which it does not import PyTorch: that takes
longer than scoring dozens of image files.
"""

from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np

from restore_lightning.io.arrays import Array, as_float64, namespace, square_blocks, where_float64_is

SSIMWindow = Literal["matlab", "skimage"]
WINDOW_SIZE: dict[SSIMWindow, int] = {"matlab": 11, "skimage": 7}
BLOCK = 32
"""Pixels per side of the squares that SSIM filters, by products with small matrices: larger ones would cost more and
start threads."""
CPU_BYTES, DEVICE_BYTES = 2**20, 2**26
"""Of the float64 maps that SSIM filters at once: on a CPU they stay in its caches, other devices take long for many
small operations. About five times as much is needed in all."""


def psnr(restored: Array, clean: Array, data_range: float = 255.0, at_once: int | None = None) -> Array:
    """Peak signal-to-noise ratio of each image in dB; infinite where both are equal. It has no gradient.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        data_range: The largest value.
        at_once: Bytes, as those of `ssim`.

    Returns:
        (B,) float64, on the images' device if that has float64, else on the CPU.
    """
    restored, clean = where_float64_is(restored), where_float64_is(clean)
    xp = namespace(restored)
    channels, height, width = restored.shape[-3:]
    rows, _ = _tile(restored, at_once)
    total = xp.zeros(len(restored), dtype=xp.float64, device=restored.device)
    for top in range(0, height, rows):
        error = as_float64(restored[..., top : top + rows, :]) - as_float64(clean[..., top : top + rows, :])
        total += xp.sum(error * error, axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * xp.log10(data_range**2 * channels * height * width / total)


def ssim(
    restored: Array, clean: Array, window: SSIMWindow, data_range: float = 255.0, at_once: int | None = None
) -> Array:
    """Structural similarity of each image, averaged over channels and the window's valid region. It has no gradient.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        window: "matlab": Gaussian 11x11, sigma 1.5, population covariance (the original code).
            "skimage": uniform 7x7, sample covariance (scikit-image's default).
        data_range: The largest value.
        at_once: Bytes of the maps that are filtered together; None: as suits the device.

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
    margin = size - 1
    below, right = height - margin, width - margin
    rows, columns = _tile(restored, at_once)
    total = xp.zeros(len(restored), dtype=xp.float64, device=restored.device)
    for top, left in product(range(0, below, rows), range(0, right, columns)):
        tile: Any = (..., slice(top, top + rows + margin), slice(left, left + columns + margin))
        filtered = _filtered(as_float64(restored[tile]), as_float64(clean[tile]), window)
        total += xp.sum(_similarity(filtered, window, data_range), axis=(1, 2, 3))
    return total / (restored.shape[1] * below * right)


def _tile(images: Array, at_once: int | None) -> tuple[int, int]:
    """Rows and columns of (B, C, H, W) images whose maps take so many bytes: whole blocks, rather wide than high."""
    batch, channels, _, width = images.shape
    if at_once is None:
        on_cpu = isinstance(images, np.ndarray) or images.device.type == "cpu"
        at_once = CPU_BYTES if on_cpu else DEVICE_BYTES
    blocks = max(1, at_once // (4 * 8 * max(1, batch * channels) * BLOCK**2))
    across = min(blocks, -(-width // BLOCK))
    return blocks // across * BLOCK, across * BLOCK


def _filtered(x: Array, y: Array, window: SSIMWindow) -> Array:
    """The means of x, y, x^2 + y^2 and x y over windows: (4, B, C, H - size + 1, W - size + 1)."""
    xp, margin = namespace(x), WINDOW_SIZE[window] - 1
    rows, columns = x.shape[-2] - margin, x.shape[-1] - margin
    high, wide = rows + -rows % BLOCK, columns + -columns % BLOCK
    # Filled up with zeros to whole blocks.
    maps = xp.zeros((4, *x.shape[:2], high + margin, wide + margin), dtype=xp.float64, device=x.device)
    for place, values in zip(maps, (x, y, x * x + y * y, x * y), strict=True):
        place[..., : rows + margin, : columns + margin] = values
    down, across = _bands(window, xp, x.device)
    blocks = down @ square_blocks(maps, BLOCK + margin, BLOCK) @ across
    return xp.moveaxis(blocks, -2, -3).reshape((4, *x.shape[:2], high, wide))[..., :rows, :columns]


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
    down, across = (xp.asarray(one, device=device) for one in (band, np.ascontiguousarray(band.T)))
    return down, across
