"""Luma: the conversions that the papers' scores and networks for gray images use."""

from restore_lightning.io.arrays import Array, as_float64, namespace

MATLAB = [65481.0, 128553.0, 24966.0]
"""Thousandths that red, green and blue add to MATLAB's luma."""


def y_opencv(image: Array) -> Array:
    """(B, 3, H, W) in 0..255 -> OpenCV's 8-bit luma (B, 1, H, W), in its fixed-point arithmetic."""
    return namespace(image).floor((_weigh(image, [4899.0, 9617.0, 1868.0]) + 8192) / 16384)


def y_matlab(image: Array) -> Array:
    """(B, 3, H, W) in 0..255 -> MATLAB's `rgb2ycbcr` luma (B, 1, H, W), in 16..235."""
    return 16 + _weigh(image, MATLAB) / 255_000


def y_coded(image: Array) -> Array:
    """(B, 3, H, W) in 0..255 -> MATLAB's luma in 8 bits (B, 1, H, W); of images whose channels are equal, one of them.

    A dedicated network for JPEG gets and returns this luma, coded as a gray image (paper 2, table 3).
    """
    xp = namespace(image)
    coloured = xp.sum(image != image[:, :1], axis=(1, 2, 3)) > 0
    # Whole numbers up to the division: halves are rounded up, all of them.
    luma = xp.floor((_weigh(image, MATLAB) + 16.5 * 255_000) / 255_000)
    return xp.where(coloured[:, None, None, None], luma, image[:, :1])


def _weigh(image: Array, weights: list[float]) -> Array:
    # Numbers, not an array of them, which each image would copy to its device.
    red, green, blue = (weight * as_float64(image[:, i : i + 1]) for i, weight in enumerate(weights))
    return red + green + blue
