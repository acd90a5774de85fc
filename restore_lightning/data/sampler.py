"""Which samples go into which batch, on which rank."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch.utils.data import Sampler

from restore_lightning.data.cyclic_schedule import CyclicSchedule


class SampleIndex(NamedTuple):
    """One training sample's address: everything random about it is a function of this and the seed.

    Args:
        factor: Name of the factor's data.
        cycle: Of the schedule.
        number: Which sample of the factor, from 0.
        crop: Which clean crop; several samples have the same where `FactorConfig.repeats` says so.
    """

    factor: str
    cycle: int
    number: int
    crop: int


class ScheduledBatches(Sampler[list[SampleIndex]]):
    """Batches of samples by the cyclic schedule; a pure function of the position.

    One optimiser step trains one factor, also when `accumulate` batches make a step, and the
    samples of a step are numbered alike however they are split into batches and ranks. A run that goes
    on with more or fewer samples per step goes on at the same step with the next samples.

    Args:
        schedule: Which factor when.
        batch_sizes: Samples per batch and rank of each factor.
        start: Position of the next batch on this rank; asked whenever batches are asked for.
        end: Batches of the whole run on this rank.
        accumulate: Batches per optimiser step.
        rank: This process's number.
        world_size: Number of processes.
        repeats: Factor -> how many of its steps in a row have the same clean crops; 1 where it is missing.
        earlier_counts: What `sample_counts` said of this step in the run that goes on here; None: all steps are alike.
    """

    def __init__(
        self,
        schedule: CyclicSchedule,
        batch_sizes: Mapping[str, int],
        start: Callable[[], int],
        end: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
        repeats: Mapping[str, int] | None = None,
        earlier_counts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.schedule = schedule
        self.batch_sizes = dict(batch_sizes)
        self.repeats = dict(repeats or {})
        self.start = start
        self.end = end
        self.accumulate = accumulate
        self.rank = rank
        self.world_size = world_size
        self._offsets: dict[str, list[int]] = {}
        if earlier_counts is not None:
            alike = self.sample_counts(start() // accumulate)
            self._offsets = {
                factor: [was - now for was, now in zip(earlier_counts[factor], alike[factor], strict=True)]
                for factor in alike.keys() & earlier_counts
            }

    @property
    def samples(self) -> dict[str, int]:
        """Samples per optimiser step of each factor, on all ranks together."""
        return {factor: size * self.accumulate * self.world_size for factor, size in self.batch_sizes.items()}

    def sample_counts(self, step: int) -> dict[str, list[int]]:
        """Factor -> numbers of the first sample and of the first crop of its next minibatch, from a step on."""
        occurrences = self.schedule.occurrences(step)
        return {factor: self._first(factor, occurrences[factor]) for factor in self.batch_sizes}

    def batch(self, position: int) -> list[SampleIndex]:
        """The samples of one batch."""
        step, part = divmod(position, self.accumulate)
        factor, cycle, occurrence = self.schedule.at(step)
        size = self.batch_sizes[factor]
        number, crop = self._first(factor, occurrence)
        mine = (part * self.world_size + self.rank) * size
        return [SampleIndex(factor, cycle, number + i, crop + i) for i in range(mine, mine + size)]

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        """The batches still to come."""
        return (self.batch(position) for position in range(self.start(), self.end))

    def __len__(self) -> int:
        """Batches of the whole run: Lightning counts those before the first one still to come."""
        return self.end

    def _first(self, factor: str, occurrence: int) -> list[int]:
        """Numbers of the first sample and of the first crop of a factor's minibatch."""
        samples, offsets = self.samples[factor], self._offsets.get(factor, (0, 0))
        crops = occurrence // self.repeats.get(factor, 1) * samples
        return [occurrence * samples + offsets[0], crops + offsets[1]]
