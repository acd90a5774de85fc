"""Hashes of an image's patches, by which it is known again when it was cropped, resized, recompressed or flipped.

Patches lie where a difference of Gaussians is extreme in place and scale (as SIFT's, Lowe 2004), upright, and are
hashed as pHash does whole images: by the signs of the lowest coefficients of their cosine transform.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import dct
from scipy.ndimage import gaussian_filter

INTERVALS = 3
"""Scales per octave."""
SIGMA = 1.6
"""Blur of the first scale (pixels)."""
HALVED_ABOVE = 2**19
"""Pixels of images that are looked at in half their size, to save time."""
CONTRAST = 0.6
"""Of 255, that a difference of Gaussians must have."""
RADIUS = 4.5
"""Half the side of a patch, in units of its blur."""
SAMPLES = 16
"""Per side of a patch."""
TILE, PER_TILE = 32, 4
"""Of each tile of this side (pixels) so many patches are kept, those of most contrast."""
FREQUENCIES = sorted(((i, j) for i in range(11) for j in range(11) if 0 < i + j <= 10 and (i, j) != (5, 5)), key=sum)
"""Down and across, of the bits of a hash: 64, none of which is lost when rows and columns are exchanged."""
ROWS, COLUMNS = np.array(FREQUENCIES).T
_COSINES = dct(np.eye(SAMPLES), axis=0, norm="ortho")[:11].astype(np.float32)


class Features(NamedTuple):
    """Patches of an image.

    Args:
        places: (N, 2) x and y of their centres in pixels.
        scales: (N,) blur in pixels.
        codes: (N, 64) coefficients of their cosine transforms; their signs are the hash.
    """

    places: np.ndarray
    scales: np.ndarray
    codes: np.ndarray


class _Extrema(NamedTuple):
    """Where differences of Gaussians of an octave are extreme; level, y and x have fractions."""

    octave: np.ndarray
    level: np.ndarray
    y: np.ndarray
    x: np.ndarray
    contrast: np.ndarray


def features_of(gray: np.ndarray) -> Features:
    """The patches of an image.

    Args:
        gray: (H, W), 0..255.
    """
    first = 0.0
    if gray.size > HALVED_ABOVE:
        height, width = (side // 2 * 2 for side in gray.shape)
        gray = gray[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3), dtype=np.float32)
        first = 1.0
    octaves = _octaves(gray.astype(np.float32))
    extrema = [_extrema(stack, number) for number, stack in enumerate(octaves)]
    if not extrema:
        return Features(np.zeros((0, 2)), np.zeros(0), np.zeros((0, len(FREQUENCIES)), np.float32))
    found = _Extrema(*map(np.concatenate, zip(*extrema, strict=True)))
    found = _Extrema(*(each[_strongest(found)] for each in found))
    codes = np.concatenate([_codes(stack, found, number) for number, stack in enumerate(octaves)])
    step = 2 ** (found.octave + first)
    places = np.stack([found.x, found.y], axis=1) * step[:, None] + 0.5 * first
    return Features(places, SIGMA * 2 ** (found.level / INTERVALS) * step, codes)


def _octaves(image: np.ndarray) -> list[np.ndarray]:
    """(levels, h, w) of the image, more and more blurred; each octave is half as large as the one before."""
    octaves = []
    blurred = gaussian_filter(image, SIGMA, truncate=3) if image.size else image
    while min(blurred.shape) > 2 * RADIUS * SIGMA:
        levels = [blurred]
        for level in range(1, INTERVALS + 3):
            now, before = (SIGMA * 2 ** (number / INTERVALS) for number in (level, level - 1))
            levels.append(gaussian_filter(levels[-1], (now**2 - before**2) ** 0.5, truncate=3))
        octaves.append(np.stack(levels))
        blurred = levels[INTERVALS][::2, ::2]
    return octaves


def _extrema(stack: np.ndarray, octave: int) -> _Extrema:
    """The extrema of an octave that a whole patch surrounds, from the first to the last."""
    differences = np.diff(stack, axis=0)
    value = differences[1:-1, 1:-1, 1:-1]
    highest, lowest = differences, differences
    for axis in range(3):
        highest = _of_neighbours(np.maximum, highest, axis)
        lowest = _of_neighbours(np.minimum, lowest, axis)
    extreme = ((value == highest) & (value > CONTRAST)) | ((value == lowest) & (value < -CONTRAST))
    place = tuple(index + 1 for index in np.nonzero(extreme))
    value = differences[place]
    finer = []
    for axis in range(3):
        before, after = (
            differences[tuple(index + side * (number == axis) for number, index in enumerate(place))]
            for side in (-1, 1)
        )
        bend = before + after - 2 * value
        finer.append(place[axis] + np.clip(0.5 * (before - after) / np.where(bend == 0, 1, bend), -0.5, 0.5))
    level, y, x = finer
    reach = RADIUS * SIGMA * 2 ** (level / INTERVALS)
    height, width = stack.shape[1:]
    inside = (np.minimum(y, x) >= reach) & (y <= height - 1 - reach) & (x <= width - 1 - reach)
    found = _Extrema(np.full(len(x), octave), level, y, x, np.abs(value))
    return _Extrema(*(each[inside] for each in found))


def _of_neighbours(best: np.ufunc, values: np.ndarray, axis: int) -> np.ndarray:
    """The largest or smallest of each three along an axis."""
    last = values.shape[axis] - 2
    before, middle, after = (values[(slice(None),) * axis + (slice(start, last + start),)] for start in range(3))
    result: np.ndarray = best(best(before, middle), after)
    return result


def _strongest(found: _Extrema) -> np.ndarray:
    """Which patches are kept: of each tile those of most contrast; octave by octave."""
    step = 2**found.octave
    tiles = np.stack([found.y * step, found.x * step]).astype(int) // TILE
    order = np.lexsort((-found.contrast, *tiles))
    new = np.any(np.diff(tiles[:, order], prepend=-1) != 0, axis=0)
    starts = np.flatnonzero(new)
    rank = np.arange(len(order)) - starts[np.cumsum(new) - 1]
    return np.sort(order[rank < PER_TILE])


def _codes(stack: np.ndarray, found: _Extrema, octave: int) -> np.ndarray:
    """(N, 64) lowest frequencies of an octave's patches."""
    level, y, x = (each[found.octave == octave] for each in (found.level, found.y, found.x))
    reach = RADIUS * SIGMA * 2 ** (level / INTERVALS)
    grid = (np.arange(SAMPLES) + 0.5) / SAMPLES * 2 - 1
    ys, xs = (middle[:, None] + reach[:, None] * grid for middle in (y, x))
    top, left = (np.floor(each).astype(int) for each in (ys, xs))
    down, across = (ys - top).astype(np.float32)[:, :, None], (xs - left).astype(np.float32)[:, None]
    nearest = np.rint(level).astype(int)[:, None, None]
    bottom, right = np.minimum(top + 1, stack.shape[1] - 1), np.minimum(left + 1, stack.shape[2] - 1)

    def row(which: np.ndarray) -> np.ndarray:
        lefts, rights = (stack[nearest, which[:, :, None], column[:, None]] for column in (left, right))
        mixed: np.ndarray = lefts + across * (rights - lefts)
        return mixed

    upper = row(top)
    patches = upper + down * (row(bottom) - upper)
    transformed: np.ndarray = _COSINES @ patches @ _COSINES.T
    return transformed[:, ROWS, COLUMNS]
