"""Finds the images that share patches with another one, in the same arrangement."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from restore_lightning.data.leaks.features import COLUMNS, FREQUENCIES, ROWS, Features

BAND = 16
"""Bits of a hash that must be equal for two patches to be compared."""
BANDS = 3
MOST_DIFFERENT = 14
"""Bits of 64 in which two views of one patch may differ."""
LEAST_AGREEING = 4
"""Patches that must agree on where one image lies in the other."""
TOLERANCE = 1.0
"""By how much of its blur a patch may lie elsewhere than the others say."""
SCALE_TOLERANCE = 1.4
"""By what factor its blur may differ from what the others say."""

MOST_PAIRS, MOST_TRIED = 4000, 500
"""Of the pairs of patches of two images so many are looked at, and so many say where one image may lie: the least
different ones. A pattern that repeats has any number of them, and where they lie takes memory of their product."""

MOST_CANDIDATES = 2**21
"""Pairs of patches that are compared, and kept, at a time; above it each image keeps its least different ones."""

_TRANSPOSED = np.array([FREQUENCIES.index((j, i)) for i, j in FREQUENCIES])


class Turn(NamedTuple):
    """A flip or turn of an image: first rows and columns are exchanged, then it is flipped."""

    transpose: bool = False
    left_right: bool = False
    up_down: bool = False

    def of(self, image: np.ndarray) -> np.ndarray:
        """The turned image, (H, W, ...)."""
        image = image.swapaxes(0, 1) if self.transpose else image
        image = image[:, ::-1] if self.left_right else image
        return image[::-1] if self.up_down else image

    def of_places(self, places: np.ndarray, height: int, width: int) -> np.ndarray:
        """Where (N, 2) places x, y of an image of a size lie in the turned one."""
        if self.transpose:
            places, height, width = places[:, ::-1], width, height
        x = width - 1 - places[:, 0] if self.left_right else places[:, 0]
        y = height - 1 - places[:, 1] if self.up_down else places[:, 1]
        return np.stack([x, y], axis=1)

    def of_codes(self, codes: np.ndarray) -> np.ndarray:
        """The codes of the turned patches: a flip changes the sign of odd frequencies."""
        codes = codes[:, _TRANSPOSED] if self.transpose else codes
        signs = (-1.0) ** (COLUMNS * self.left_right + ROWS * self.up_down)
        return codes * signs

    def __str__(self) -> str:
        """For people; "" where nothing is turned."""
        return NAMES[self]


NAMES = {
    Turn(): "",
    Turn(left_right=True): "flipped left to right",
    Turn(up_down=True): "flipped upside down",
    Turn(left_right=True, up_down=True): "turned by 180 degrees",
    Turn(transpose=True): "transposed",
    Turn(transpose=True, left_right=True): "turned by 90 degrees",
    Turn(transpose=True, up_down=True): "turned by 270 degrees",
    Turn(transpose=True, left_right=True, up_down=True): "transposed across the other diagonal",
}
TURNS = tuple(NAMES)


class Placement(NamedTuple):
    """Where an image of the index seems to lie in another one.

    Args:
        image: Its number.
        turn: Of the other image, before the two agree.
        scale: (x, y): pixels of the turned other image for each of this one's.
        offset: (x, y) of this image's first pixel in the turned other one.
        agreeing: Patches that say so.
    """

    image: int
    turn: Turn
    scale: tuple[float, float]
    offset: tuple[float, float]
    agreeing: int


class PatchIndex:
    """The patches of images, to be looked up by their hashes.

    Args:
        images: The patches of each image.
    """

    def __init__(self, images: Sequence[Features]) -> None:
        self.image = np.repeat(np.arange(len(images)), [len(one.scales) for one in images])
        self.places = np.concatenate([np.zeros((0, 2)), *(one.places for one in images)])
        self.scales = np.concatenate([np.zeros(0), *(one.scales for one in images)])
        self.hashes = _hashes(np.concatenate([np.zeros((0, len(FREQUENCIES))), *(one.codes for one in images)]))
        self.order, self.keys = [], []
        for band in range(BANDS):
            keys = _band(self.hashes, band)
            self.order.append(np.argsort(keys, kind="stable"))
            self.keys.append(keys[self.order[-1]])

    def placements(self, features: Features, height: int, width: int) -> list[Placement]:
        """The images that share patches with an image of a size, and where they lie in it; the surest first."""
        found = []
        for turn in TURNS:
            theirs, ours = self._alike(hashes := _hashes(turn.of_codes(features.codes)))
            places = turn.of_places(features.places, height, width)
            images = self.image[ours]
            for image in np.flatnonzero(np.bincount(images) >= LEAST_AGREEING).tolist():
                mine = _least_different(np.flatnonzero(images == image), hashes[theirs], self.hashes[ours])
                placed = _placed(
                    self.places[ours[mine]],
                    self.scales[ours[mine]],
                    places[theirs[mine]],
                    features.scales[theirs[mine]],
                )
                if placed is not None:
                    found.append(Placement(image, turn, *placed))
        return sorted(found, key=lambda one: -one.agreeing)

    def _alike(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of hashes, and of patches of the index with nearly the same ones."""
        kept: list[np.ndarray] = []
        for theirs, ours in self._candidates(hashes):
            near = np.bitwise_count(hashes[theirs] ^ self.hashes[ours]) <= MOST_DIFFERENT
            kept.append(np.stack([theirs[near], ours[near]]))
            if sum(part.shape[1] for part in kept) > MOST_CANDIDATES:
                kept = [self._thinned(np.unique(np.concatenate(kept, axis=1), axis=1), hashes)]
        theirs, ours = np.unique(np.concatenate(kept, axis=1), axis=1)
        return theirs, ours

    def _candidates(self, hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of hashes, and of patches with an equal band; at most `MOST_CANDIDATES`, or one hash's, at a time."""
        for band, (keys, order) in enumerate(zip(self.keys, self.order, strict=True)):
            wanted = _band(hashes, band)
            first, last = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
            counts = last - first
            ends = np.cumsum(counts)
            start = 0
            while start == 0 or start < len(hashes):
                before = ends[start - 1] if start else 0
                stop = max(start + 1, int(np.searchsorted(ends, before + MOST_CANDIDATES, "right")))
                some = counts[start:stop]
                theirs = np.repeat(np.arange(len(hashes))[start:stop], some)
                starts = np.cumsum(some) - some
                yield (
                    theirs,
                    order[np.arange(some.sum()) - np.repeat(starts, some) + np.repeat(first[start:stop], some)],
                )
                start = stop

    def _thinned(self, pairs: np.ndarray, hashes: np.ndarray) -> np.ndarray:
        """Of (2, N) pairs the least different ones of each image, together about half of `MOST_CANDIDATES`."""
        images = self.image[pairs[1]]
        order = np.random.default_rng(0).permutation(len(images))  # of equally different ones some from everywhere
        different = np.bitwise_count(hashes[pairs[0]] ^ self.hashes[pairs[1]])
        order = order[np.lexsort((different[order], images[order]))]
        _, first, counts = np.unique(images[order], return_index=True, return_counts=True)
        rank = np.arange(len(order)) - np.repeat(first, counts)
        each = max(LEAST_AGREEING, MOST_CANDIDATES // 2 // len(counts))
        return pairs[:, order[rank < each]]


def _hashes(codes: np.ndarray) -> np.ndarray:
    """(N, 64) codes -> (N,) uint64 of their signs."""
    bits = np.packbits(codes > 0, axis=1, bitorder="little")
    return np.ascontiguousarray(bits).view("<u8").reshape(len(codes))


def _band(hashes: np.ndarray, band: int) -> np.ndarray:
    return (hashes >> np.uint64(BAND * band)) & np.uint64(2**BAND - 1)


def _least_different(pairs: np.ndarray, theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """At most `MOST_PAIRS` of the pairs, by their hashes; of equally different ones some from everywhere."""
    shuffled = np.random.default_rng(0).permutation(pairs)
    different = np.bitwise_count(theirs[shuffled] ^ ours[shuffled])
    return shuffled[np.argsort(different, kind="stable")[:MOST_PAIRS]]


def _placed(
    ours: np.ndarray, our_scales: np.ndarray, theirs: np.ndarray, their_scales: np.ndarray
) -> tuple[tuple[float, float], tuple[float, float], int] | None:
    """Scale, offset and number of the most pairs of patches that agree, the surest first; None: too few do."""
    ratios = their_scales / our_scales
    tried = ratios[:MOST_TRIED, None]
    offsets = theirs[:MOST_TRIED] - tried * ours[:MOST_TRIED]
    apart = theirs[None] - tried[..., None] * ours[None] - offsets[:, None]  # (hypothesis, pair, x and y)
    agree = np.hypot(*apart.transpose(2, 0, 1)) < 3 * TOLERANCE * their_scales
    agree &= np.abs(np.log(ratios[None] / tried)) < np.log(SCALE_TOLERANCE)
    best = agree[agree.sum(axis=1).argmax()]
    for _ in range(3):
        if len(np.unique(ours[best], axis=0)) < LEAST_AGREEING:
            return None
        scale, offset = _fitted(ours[best], theirs[best])
        if not 0.1 < scale < 10:
            return None
        near = np.hypot(*(theirs - scale * ours - offset).T) < TOLERANCE * their_scales
        best = near & (np.abs(np.log(ratios / scale)) < np.log(SCALE_TOLERANCE))
    agreeing = len(np.unique(ours[best], axis=0))
    return ((scale, scale), tuple(offset.tolist()), agreeing) if agreeing >= LEAST_AGREEING else None


def _fitted(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, np.ndarray]:
    """The scale and offset that lead from places to others, by least squares."""
    mine, yours = ours.mean(axis=0), theirs.mean(axis=0)
    spread = ((ours - mine) ** 2).sum()
    scale = float(((ours - mine) * (theirs - yours)).sum() / spread) if spread else 0.0
    return scale, yours - scale * mine
