"""What the networks are made of, in float64: images are (C, H, W). Nothing of the package is imported here."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = dict[str, Array]
"""Tensors by their names in the authors' checkpoint."""


def weights(shapes: dict[str, tuple[int, ...]], gain: float) -> Weights:
    """Normal numbers that follow from each tensor's name.

    Args:
        shapes: Name -> shape.
        gain: Standard deviation of a kernel's result for an input of 1; biases have a tenth of it.
    """
    return {
        name: np.random.default_rng(list(name.encode())).normal(
            0, gain / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else gain / 10, shape
        )
        for name, shape in shapes.items()
    }


def image(channels: int, height: int, width: int) -> Array:
    """Waves of another length in each channel, in [0, 1]."""
    c, y, x = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    return 0.5 + 0.5 * np.sin(0.9 * y + 0.4 * (c + 1) * x)


def convolve(x: Array, kernel: Array, bias: Array) -> Array:
    """A convolution of a square kernel (out, in, k, k) over zeros around x; the size stays."""
    reach = kernel.shape[2] // 2
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    result = np.zeros((kernel.shape[0], height, width)) + bias[:, None, None]
    for row, column in np.ndindex(*kernel.shape[2:]):
        part = padded[:, row : row + height, column : column + width]
        result += np.einsum("oi,ihw->ohw", kernel[:, :, row, column], part)
    return result


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)
