"""Scores by scikit-image, OpenCV and NumPy: what the protocols are compared with."""

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
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
    "aio-rgb": (as_it_is, "skimage", as_it_is, 0),
    "moce-rgb": (as_it_is, "skimage-gaussian", as_it_is, 0),
    "instructir-rgb": (as_it_is, "matlab", as_it_is, 0),
    "dcpt-rgb": (as_it_is, "matlab", np.round, 0),
    "nafnet-3d": (as_it_is, "cube", np.round, 0),
}
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def cubic_ssim(a, b):
    """Of two (H, W, C) arrays in 0..255 by scipy: a Gaussian over all three directions, whose borders are repeated."""

    def mean(values):
        return gaussian_filter(values, 1.5, mode="nearest", truncate=3.5)  # 11 values in each direction

    a, b = (image.astype(np.float64) for image in (a, b))
    covariance = 2 * (mean(a * b) - mean(a) * mean(b)) + 58.5225
    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2 + 58.5225
    luminance = (2 * mean(a) * mean(b) + 6.5025) / (mean(a) ** 2 + mean(b) ** 2 + 6.5025)
    return (luminance * covariance / variances).mean()


def by_scikit_image(restored, clean, name):
    """(PSNR, SSIM) of two (H, W, 3) arrays: float in 0..255, quantised here, and uint8."""
    colour, window, quantise, border = TABLE[name]
    inner = slice(border, -border or None)
    if quantise is not as_it_is:
        restored = quantise(restored).clip(0, 255).astype(np.uint8)
    a, b = (colour(image[inner, inner]) for image in (restored, clean))
    common = {"data_range": 255, "channel_axis": 2 if b.ndim == 3 else None}
    if window == "skimage":
        similarity = structural_similarity(b, a, **common)
    elif window == "skimage-gaussian":
        similarity = structural_similarity(b, a, **common, **GAUSSIAN | {"use_sample_covariance": True})
    elif window == "cube":
        similarity = cubic_ssim(*(np.atleast_3d(image) for image in (a, b)))
    else:  # MATLAB's has the window's valid region only
        similarity = structural_similarity(b, a, full=True, **common, **GAUSSIAN)[1][5:-5, 5:-5].mean()
    return peak_signal_noise_ratio(b, a, data_range=255), similarity
