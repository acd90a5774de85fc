"""The cyclic schedule (paper 2, section 4.1) as a pure function of the step."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from restore_lightning.seeding import generator


class ScheduledStep(NamedTuple):
    """What one optimiser step trains.

    Args:
        factor: The degradation factor of its minibatch.
        cycle: The cycle it belongs to, from 0.
        occurrence: How many minibatches of this factor came before it.
    """

    factor: str
    cycle: int
    occurrence: int


class CyclicSchedule:
    """Cycles of n_f minibatches of each factor f, shuffled anew in each cycle.

    Every rank computes the same schedule: all train the same factor in the same step, so that idle
    branches are idle everywhere.

    Args:
        minibatches: Factor -> n_f, minibatches per cycle.
        seed: Of the shuffling.

    Raises:
        ValueError: No factor, or a factor with less than one minibatch.

    >>> schedule = CyclicSchedule({"rain": 1, "blur": 2}, seed=0)
    >>> sorted(schedule.at(step).factor for step in range(3, 6))
    ['blur', 'blur', 'rain']
    """

    def __init__(self, minibatches: Mapping[str, int], seed: int) -> None:
        if not minibatches:
            raise ValueError("the schedule names no factor")
        for factor, count in minibatches.items():
            if count < 1:
                raise ValueError(f"factor {factor!r} has {count} minibatches per cycle: give at least 1")
        self.minibatches = dict(minibatches)
        self.seed = seed
        self.length = sum(self.minibatches.values())
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def order(self, cycle: int) -> tuple[str, ...]:
        """The factors of one cycle's minibatches, in order."""
        return self._order(cycle)

    def at(self, step: int) -> ScheduledStep:
        """What optimiser step `step` (from 0) trains."""
        cycle, place = divmod(step, self.length)
        order = self.order(cycle)
        factor = order[place]
        return ScheduledStep(factor, cycle, cycle * self.minibatches[factor] + order[:place].count(factor))

    def occurrences(self, step: int) -> dict[str, int]:
        """Factor -> how many minibatches of it come before optimiser step `step`."""
        cycle, place = divmod(step, self.length)
        begun = self.order(cycle)[:place]
        return {factor: cycle * count + begun.count(factor) for factor, count in self.minibatches.items()}

    def _shuffled(self, cycle: int) -> tuple[str, ...]:
        factors = [factor for factor, count in self.minibatches.items() for _ in range(count)]
        return tuple(factors[i] for i in generator(self.seed, "cycle", cycle).permutation(self.length))
