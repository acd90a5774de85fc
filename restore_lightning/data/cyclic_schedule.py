"""The cyclic schedule (paper 2, section 4.1) as a pure function of the position."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from restore_lightning.seeding import generator


class ScheduledPlace(NamedTuple):
    """What one place of the schedule trains: a minibatch, or a sample of batches that mix factors.

    Args:
        factor: Its degradation factor.
        cycle: The cycle it belongs to, from 0.
        occurrence: How many places of this factor came before it.
    """

    factor: str
    cycle: int
    occurrence: int


class CyclicSchedule:
    """Cycles of n_f places for each factor f, shuffled anew in each cycle.

    A place is a minibatch, as in paper 2, or one sample where batches mix factors. Every rank computes the same
    schedule: of minibatches all train the same factor in the same step, so that idle branches are idle everywhere.

    Args:
        counts: Factor -> n_f, its places per cycle.
        seed: Of the shuffling.

    Raises:
        ValueError: No factor, or a factor with less than one place.

    >>> schedule = CyclicSchedule({"rain": 1, "blur": 2}, seed=0)
    >>> sorted(schedule.at(place).factor for place in range(3, 6))
    ['blur', 'blur', 'rain']
    """

    def __init__(self, counts: Mapping[str, int], seed: int) -> None:
        if not counts:
            raise ValueError("the schedule names no factor")
        for factor, count in counts.items():
            if count < 1:
                raise ValueError(f"factor {factor!r} has {count} places per cycle: give at least 1")
        self.counts = dict(counts)
        self.seed = seed
        self.length = sum(self.counts.values())
        self._factors = list(self.counts)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def order(self, cycle: int) -> tuple[str, ...]:
        """The factors of one cycle's places, in order."""
        return tuple(self._factors[label] for label in self._order(cycle)[0])

    def at(self, place: int) -> ScheduledPlace:
        """What a place (from 0) trains."""
        cycle, within = divmod(place, self.length)
        labels, before = self._order(cycle)
        factor = self._factors[labels[within]]
        return ScheduledPlace(factor, cycle, cycle * self.counts[factor] + int(before[within]))

    def occurrences(self, place: int) -> dict[str, int]:
        """Factor -> how many places of it come before a place."""
        cycle, within = divmod(place, self.length)
        begun = np.bincount(self._order(cycle)[0][:within], minlength=len(self._factors))
        return {name: cycle * self.counts[name] + int(count) for name, count in zip(self._factors, begun, strict=True)}

    def _shuffled(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each place of a cycle the factor's number, and how many of this factor come before it in the cycle."""
        labels = np.repeat(np.arange(len(self._factors)), list(self.counts.values()))
        labels = labels[generator(self.seed, "cycle", cycle).permutation(self.length)]
        before = np.empty_like(labels)
        for label, count in enumerate(self.counts.values()):
            before[labels == label] = np.arange(count)
        return labels, before
