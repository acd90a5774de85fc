"""Whether images are equal pixel by pixel, by digests of their pixels."""

from hashlib import blake2b

import numpy as np


def pixel_digest(image: np.ndarray) -> bytes:
    """What two images have in common only where all their pixels are equal; (H, W, 3) uint8."""
    return blake2b(image.tobytes(), digest_size=16, salt=str(image.shape[1]).encode()).digest()
