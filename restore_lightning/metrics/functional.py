"""PSNR and SSIM, one value per image.

The same code takes PyTorch tensors, on any device, and NumPy arrays, for which it does not import PyTorch: that takes
longer than scoring dozens of image files.
"""

from functools import lru_cache
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np

from restore_lightning.io.arrays import Array, as_float64, namespace, square_blocks, where_float64_is, with_edges


class WindowDesign(NamedTuple):
    """A window of SSIM as data.

    Args:
        size: Pixels per side.
        gaussian: Weighs them by a Gaussian of sigma 1.5; else all alike.
        sample: Sample covariance, n / (n - 1) times the population's, n being the window's pixels.
        cube: It spans the channels, too, and the borders of all three directions are repeated; else each channel is
            taken by itself, where the window is whole.
    """

    size: int
    gaussian: bool
    sample: bool = False
    cube: bool = False


SSIMWindow = Literal["matlab", "skimage", "skimage-gaussian", "cube"]
WINDOWS: dict[SSIMWindow, WindowDesign] = {
    "matlab": WindowDesign(11, gaussian=True),
    "skimage": WindowDesign(7, gaussian=False, sample=True),
    "skimage-gaussian": WindowDesign(11, gaussian=True, sample=True),
    "cube": WindowDesign(11, gaussian=True, cube=True),
}
LARGEST_WINDOW = max(design.size for design in WINDOWS.values())
"""Pixels per side."""
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
    """Structural similarity of each image, averaged over channels and windows. It has no gradient.

    Args:
        restored: (B, C, H, W).
        clean: (B, C, H, W).
        window: "matlab": Gaussian 11x11, sigma 1.5, population covariance (the original code).
            "skimage": uniform 7x7, sample covariance (scikit-image's default). "skimage-gaussian": as "matlab" with
            sample covariance (scikit-image's `gaussian_weights`). "cube": Gaussian 11x11x11 over rows, columns and
            channels, population covariance, repeated borders (NAFNet's code). All but "cube" are averaged over the
            places where the window lies within the image.
        data_range: The largest value.
        at_once: Bytes of the maps that are filtered together; None: as suits the device.

    Returns:
        (B,) float64, on the images' device if that has float64, else on the CPU.

    Raises:
        ValueError: An image smaller than a window that must lie within it.
    """
    design = WINDOWS[window]
    size, margin = design.size, design.size - 1
    restored, clean = where_float64_is(restored), where_float64_is(clean)
    if design.cube:
        restored, clean = with_edges(restored, margin // 2), with_edges(clean, margin // 2)
    height, width = restored.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"SSIM ({window}) needs {size}x{size} pixels, the image is {height}x{width}")
    xp = namespace(restored)
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
    xp, margin = namespace(x), WINDOWS[window].size - 1
    rows, columns = x.shape[-2] - margin, x.shape[-1] - margin
    high, wide = rows + -rows % BLOCK, columns + -columns % BLOCK
    # Filled up with zeros to whole blocks.
    maps = xp.zeros((4, *x.shape[:2], high + margin, wide + margin), dtype=xp.float64, device=x.device)
    for place, values in zip(maps, (x, y, x * x + y * y, x * y), strict=True):
        place[..., : rows + margin, : columns + margin] = values
    down, across = _bands(window, xp, x.device)
    blocks = down @ square_blocks(maps, BLOCK + margin, BLOCK) @ across
    means = xp.moveaxis(blocks, -2, -3).reshape((4, *x.shape[:2], high, wide))[..., :rows, :columns]
    if not WINDOWS[window].cube:
        return means
    return xp.einsum("dc,nbchw->nbdhw", _channel_weights(window, x.shape[1], xp, x.device), means)


def _similarity(filtered: Array, window: SSIMWindow, data_range: float) -> Array:
    """The SSIM map of two images from the means of x, y, x^2 + y^2 and x y."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    pixels = WINDOWS[window].size ** 2
    sample = pixels / (pixels - 1) if WINDOWS[window].sample else 1.0
    mean_x, mean_y, squares, product = filtered
    means, square_means = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    alike = (2 * means + c1) * (2 * sample * (product - means) + c2)
    return alike / ((square_means + c1) * (sample * (squares - square_means) + c2))


@lru_cache
def _bands(window: SSIMWindow, xp: Any, device: Any) -> tuple[Any, Any]:
    """(BLOCK, BLOCK + size - 1): row i weighs the pixels i to i + size - 1 as the window does; and its transpose."""
    band = np.stack([np.pad(_weights(window), (i, BLOCK - 1 - i)) for i in range(BLOCK)])
    down, across = (xp.asarray(one, device=device) for one in (band, np.ascontiguousarray(band.T)))
    return down, across


@lru_cache
def _channel_weights(window: SSIMWindow, channels: int, xp: Any, device: Any) -> Any:
    """(channels, channels): row i weighs the channels as the window around i does, the outer ones repeated."""
    weights = _weights(window)
    reach = len(weights) // 2
    matrix = np.zeros((channels, channels))
    for channel in range(channels):
        seen = np.clip(np.arange(channel - reach, channel + reach + 1), 0, channels - 1)
        np.add.at(matrix[channel], seen, weights)
    return xp.asarray(matrix, device=device)


def _weights(window: SSIMWindow) -> np.ndarray:
    """(size,) in one direction, of sum 1."""
    design = WINDOWS[window]
    places = np.arange(design.size) - design.size // 2
    weights = np.exp(-(places**2) / (2 * 1.5**2)) if design.gaussian else np.ones(design.size)
    return np.asarray(weights / weights.sum())
