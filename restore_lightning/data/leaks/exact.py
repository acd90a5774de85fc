"""Whether test images are training images, pixel by pixel: what is cheap enough to look at before each training."""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from time import monotonic
from typing import NamedTuple

import numpy as np

from restore_lightning.data.leaks.images import ImageEntry
from restore_lightning.errors import UserError


class EqualImages(NamedTuple):
    """Test images that are training images.

    Args:
        pairs: Names of test and training image.
        compared: How many training images were looked at in the time that there was.
    """

    pairs: list[tuple[str, str]]
    compared: int


def pixel_digest(image: np.ndarray) -> bytes:
    """What two images have in common only where all their pixels are equal; (H, W, 3) uint8."""
    return blake2b(image.tobytes(), digest_size=16, salt=str(image.shape[1]).encode()).digest()


def equal_images(train: Sequence[ImageEntry], test: Sequence[ImageEntry], seconds: float) -> EqualImages:
    """The test images that are training images, whole; only images of equal sizes are read.

    Images that cannot be read are passed over: what trains on them, or scores them, says so.

    Args:
        train: Training images.
        test: Test images.
        seconds: After so many it ends.
    """
    end = monotonic() + seconds
    of_size: dict[tuple[int, int], list[ImageEntry]] = defaultdict(list)
    for entry in test:
        if (size := _size(entry)) is not None:
            of_size[size].append(entry)
    known: dict[tuple[int, int], dict[bytes, list[str]]] = {}
    pairs: list[tuple[str, str]] = []
    for number, entry in enumerate(train):
        if monotonic() > end:
            return EqualImages(pairs, number)
        size = _size(entry)
        if size is None or size not in of_size:
            continue
        if size not in known:
            known[size] = defaultdict(list)
            for other in of_size[size]:
                if (digest := _digest(other)) is not None:
                    known[size][digest].append(other.name)
        digest = _digest(entry)
        pairs += [(name, entry.name) for name in known[size].get(digest, ())] if digest else []
    return EqualImages(pairs, len(train))


def _size(entry: ImageEntry) -> tuple[int, int] | None:
    try:
        return entry.size()
    except (UserError, OSError):
        return None


def _digest(entry: ImageEntry) -> bytes | None:
    try:
        return pixel_digest(entry.read())
    except (UserError, OSError, MemoryError):
        return None
