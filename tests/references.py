"""Scores by scikit-image, OpenCV and NumPy: what the protocols are compared with."""

import cv2
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def y_matlab(image):
    return 16 + image.astype(np.float64) @ [65.481, 128.553, 24.966] / 255


def y_opencv(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 0]


def y_rounded(image):
    thousandths = image.astype(np.int64) @ [65481, 128553, 24966]  # whole numbers: halves are rounded up, all of them
    return (16 + (2 * thousandths + 255_000) // 510_000).astype(np.uint8)


def as_it_is(image):
    return image


# Colour, SSIM window, quantisation and border of each protocol.
TABLE = {
    "durn-rgb": (as_it_is, "skimage", np.floor, 0),
    "durn-y": (y_opencv, "skimage", np.floor, 0),
    "durn-gray": (y_opencv, "skimage", np.floor, 0),
    "mbn-rgb": (as_it_is, "skimage", np.floor, 0),
    "matlab-y": (y_matlab, "matlab", np.floor, 0),
    "sr-y": (y_matlab, "matlab", np.round, 3),
    "din-rgb": (as_it_is, "matlab", np.floor, 0),
    "din-y": (y_matlab, "matlab", np.floor, 0),
    "jpeg-gray": (y_rounded, "matlab", np.round, 0),
    "gray": (as_it_is, "matlab", np.round, 0),
}
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def by_scikit_image(restored, clean, name):
    """(PSNR, SSIM) of two (H, W, 3) arrays: float in 0..255, quantised here, and uint8."""
    colour, window, quantise, border = TABLE[name]
    inner = slice(border, -border or None)
    a, b = (colour(image[inner, inner]) for image in (quantise(restored).clip(0, 255).astype(np.uint8), clean))
    common = {"data_range": 255, "channel_axis": 2 if b.ndim == 3 else None}
    if window == "skimage":
        similarity = structural_similarity(b, a, **common)
    else:  # MATLAB's has the window's valid region only
        similarity = structural_similarity(b, a, full=True, **common, **GAUSSIAN)[1][5:-5, 5:-5].mean()
    return peak_signal_noise_ratio(b, a, data_range=255), similarity
