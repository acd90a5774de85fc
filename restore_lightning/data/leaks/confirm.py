"""Whether two images are one, pixel by pixel, once it is known where one lies in the other."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from restore_lightning.data.leaks.index import Placement

STEPS = ((4.0, 4), (2.0, 4), (1.0, 4))
"""Blur (pixels of the test image) and number of the steps that bring the images to coincide."""
DETAIL = 4.0
"""Blur that parts an image's details from the rest (pixels)."""
LEAST_CORRELATION = 0.6
"""Of details: below it two images are two photographs."""
LEAST_SIDE = 24
"""Pixels that two images must have in common, down and across."""
SEARCHED = 2
"""Pixels around a place that are looked at for equal ones."""


class Confirmed(NamedTuple):
    """How two images agree.

    Args:
        equal: Whether all pixels that they have in common are equal.
        scale: (x, y): pixels of the turned training image for each of the test image's.
        box: Top, left, height, width of the test image in the turned training image (pixels of the latter).
        common: Share of the smaller image that lies in the other one.
        psnr: Of the part that they have in common (dB), at the test image's size; inf where all are equal.
        correlation: Of its details.
    """

    equal: bool
    scale: tuple[float, float]
    box: tuple[float, float, float, float]
    common: float
    psnr: float
    correlation: float


def confirm(test: np.ndarray, train: np.ndarray, placement: Placement) -> Confirmed | None:
    """Compare a test image with the part of a training image that it seems to be; None: they are two images.

    Args:
        test: (h, w, 3) uint8.
        train: (H, W, 3) uint8.
        placement: Where the test image seems to lie in the training image.
    """
    turned = placement.turn.of(train)
    size = np.array(test.shape[:2])
    scale, offset = np.array(placement.scale[::-1]), np.array(placement.offset[::-1])
    if (equal := _equal(test, turned, scale, offset)) is not None:
        return equal
    theirs, ours = turned.mean(axis=2, dtype=np.float32), test.mean(axis=2, dtype=np.float32)
    scale, offset = _refined(ours, theirs, scale, offset)
    if not ((scale > 0.1) & (scale < 10)).all():
        return None
    if (equal := _equal(test, turned, scale, offset)) is not None:
        return equal
    warped, inside = _warped(theirs, scale, offset, ours.shape, max(0.0, 0.5 * float(scale.mean()) - 0.4))
    rows, columns = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    if min(rows, columns) < LEAST_SIDE:
        return None
    part = inside & (gaussian_filter(inside.astype(np.float32), 1) > 0.5)
    details = [(image - gaussian_filter(image, DETAIL))[part] for image in (ours, warped)]
    norm = np.sqrt((details[0] ** 2).sum() * (details[1] ** 2).sum())
    correlation = float((details[0] * details[1]).sum() / norm) if norm else 0.0
    if correlation < LEAST_CORRELATION:
        return None
    error = float(((ours - warped)[part] ** 2).mean())
    psnr = float(10 * np.log10(255**2 / error)) if error else float("inf")
    across_and_down = float(scale[1]), float(scale[0])
    box, common = _box(offset, scale * size), _common(offset, scale * size, turned)
    return Confirmed(False, across_and_down, box, common, psnr, correlation)


def _box(at: np.ndarray, size: np.ndarray) -> tuple[float, float, float, float]:
    return float(at[0]), float(at[1]), float(size[0]), float(size[1])


def _common(at: np.ndarray, size: np.ndarray, train: np.ndarray) -> float:
    """Share of the smaller of two images that lies in the other."""
    whole = np.array(train.shape[:2])
    both = np.minimum(at + size, whole) - np.maximum(at, 0)
    return float(min(1.0, both.clip(0).prod() / min(size.prod(), whole.prod())))


def _equal(test: np.ndarray, train: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> Confirmed | None:
    """How the images agree where all that they have in common is equal, pixel by pixel; else None."""
    size, whole = np.array(test.shape[:2]), np.array(train.shape[:2])
    if (np.abs(scale - 1) * size > 2 * SEARCHED).any():
        return None
    near = offset + (scale - 1) * size / 2
    for place in np.ndindex(2 * SEARCHED + 1, 2 * SEARCHED + 1):
        at = np.rint(near).astype(int) + np.array(place) - SEARCHED
        start, end = np.maximum(at, 0), np.minimum(at + size, whole)
        if (end - start < LEAST_SIDE).any():
            continue
        theirs = train[start[0] : end[0], start[1] : end[1]]
        ours = test[start[0] - at[0] : end[0] - at[0], start[1] - at[1] : end[1] - at[1]]
        if np.array_equal(theirs[::16], ours[::16]) and np.array_equal(theirs, ours):
            return Confirmed(True, (1.0, 1.0), _box(at, size), _common(at, size, train), float("inf"), 1.0)
    return None


def _warped(
    train: np.ndarray, scale: np.ndarray, offset: np.ndarray, shape: tuple[int, ...], blur: float
) -> tuple[np.ndarray, np.ndarray]:
    """The training image as the test image shows it, and where it does."""
    smooth = gaussian_filter(train, blur) if blur > 0 else train
    warped = affine_transform(smooth, scale, offset, output_shape=shape, order=1, mode="nearest")
    reach = [scale[axis] * np.arange(shape[axis]) + offset[axis] for axis in (0, 1)]
    inside = [(at >= -0.5) & (at <= train.shape[axis] - 0.5) for axis, at in enumerate(reach)]
    return warped, inside[0][:, None] & inside[1][None]


def _refined(
    test: np.ndarray, train: np.ndarray, scale: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset by Gauss and Newton's method on differences of the images, brightness and contrast free."""
    down, across = (np.arange(side, dtype=np.float32) for side in test.shape)
    for blur, count in STEPS:
        ours = gaussian_filter(test, blur, truncate=3)
        theirs = gaussian_filter(train, blur * float(np.clip(scale.mean(), 0.1, 10)), truncate=3)
        stride = max(1, int(blur))
        for _ in range(count):
            warped, inside = _warped(theirs, scale, offset, test.shape, 0)
            part = inside[::stride, ::stride]
            if part.sum() < LEAST_SIDE:
                return scale, offset
            slopes = [slope[::stride, ::stride][part] for slope in np.gradient(warped)]
            y, x = (each[part] for each in np.meshgrid(down[::stride], across[::stride], indexing="ij"))
            shown = warped[::stride, ::stride][part]
            unknown = [slopes[0] * y, slopes[0], slopes[1] * x, slopes[1], shown, np.ones_like(shown)]
            step, *_ = np.linalg.lstsq(np.stack(unknown, axis=1), ours[::stride, ::stride][part], rcond=None)
            contrast = max(step[4], 0.1)
            # In pixels of the test image.
            offset = offset + scale * np.clip(step[[1, 3]] / contrast, -2 * blur, 2 * blur)
            scale = scale * (1 + np.clip(step[[0, 2]] / contrast, -0.1, 0.1))
    return scale, offset
