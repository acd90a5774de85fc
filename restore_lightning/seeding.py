"""The one seeding rule: a random choice is a function of the run's seed and of what the choice is for."""

import zlib

import numpy as np


def generator(seed: int, *purpose: int | str) -> np.random.Generator:
    """A generator of its own for each purpose, the same on every machine and in every process.

    Args:
        seed: The run's seed, not negative.
        purpose: Names and counters (not negative), e.g. `("crop", "rain", 17)`.

    >>> int(generator(0, "crop", 3).integers(100)) == int(generator(0, "crop", 3).integers(100))
    True
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    return np.random.default_rng([seed, *words])


def derive(seed: int, *purpose: int | str) -> int:
    """A seed (63 bits) for a purpose, where a number has to be handed on."""
    return int(generator(seed, *purpose).integers(2**63))
