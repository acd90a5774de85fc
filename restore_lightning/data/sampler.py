"""Which samples go into which batch, on which rank."""

from abc import abstractmethod
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
        crop_size: Side of the degraded crop (pixels); None: the factor's.
    """

    factor: str
    cycle: int
    number: int
    crop: int
    crop_size: int | None = None


class PhaseBatches(NamedTuple):
    """What batches are like from a step on.

    Args:
        start: The optimiser step, from 0.
        sizes: Samples per batch and rank of each factor.
        crop_size: Of all samples; None: the factors' own.
    """

    start: int
    sizes: Mapping[str, int]
    crop_size: int | None = None


class Batches(Sampler[list[SampleIndex]]):
    """Batches of samples by a schedule; a pure function of the position.

    The samples of a step are numbered alike however they are split into batches and ranks. A run that goes on with more
    or fewer samples per step goes on at the same step with the next samples.

    Args:
        schedule: Which factor when.
        phases: What batches are like, by their first steps; the first one starts at 0.
        start: Position of the next batch on this rank; asked whenever batches are asked for.
        end: Batches of the whole run on this rank.
        accumulate: Batches per optimiser step.
        rank: This process's number.
        world_size: Number of processes.
    """

    def __init__(
        self,
        schedule: CyclicSchedule,
        phases: Sequence[PhaseBatches],
        start: Callable[[], int],
        end: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.schedule = schedule
        self.phases = list(phases)
        self.start = start
        self.end = end
        self.accumulate = accumulate
        self.rank = rank
        self.world_size = world_size

    @abstractmethod
    def batch(self, position: int) -> list[SampleIndex]:
        """The samples of one batch."""

    @abstractmethod
    def sample_counts(self, step: int) -> dict[str, list[int]]:
        """Factor -> numbers of its next sample and of its next crop, from a step on."""

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        """The batches still to come."""
        return (self.batch(position) for position in range(self.start(), self.end))

    def __len__(self) -> int:
        """Batches of the whole run: Lightning counts those before the first one still to come."""
        return self.end

    def phase(self, step: int) -> int:
        """Number of the phase that a step is in."""
        return sum(each.start <= step for each in self.phases) - 1

    def samples(self, phase: int) -> dict[str, int]:
        """Samples per optimiser step of each factor in a phase, on all ranks together."""
        per_batch = self.accumulate * self.world_size
        return {factor: size * per_batch for factor, size in self.phases[phase].sizes.items()}

    def _part(self, position: int, size: int) -> range:
        """Which of a step's samples a batch of so many has on this rank."""
        first = (position % self.accumulate * self.world_size + self.rank) * size
        return range(first, first + size)


class ScheduledBatches(Batches):
    """Batches of one factor each: the schedule's places are minibatches.

    One optimiser step trains one factor, also when `accumulate` batches make a step.

    Args:
        schedule: See `Batches`, as `phases`, `start`, `end`, `accumulate`, `rank`, `world_size`.
        repeats: Factor -> how many of its steps in a row have the same clean crops; 1 where it is missing.
        earlier_counts: What `sample_counts` said of this step in the run that goes on here; None: it was this one.
    """

    def __init__(
        self,
        schedule: CyclicSchedule,
        phases: Sequence[PhaseBatches],
        start: Callable[[], int],
        end: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
        repeats: Mapping[str, int] | None = None,
        earlier_counts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(schedule, phases, start, end, accumulate, rank, world_size)
        self.repeats = dict(repeats or {})
        # Of each phase: what comes before it, by factor: minibatches, samples, crops.
        self._before: list[dict[str, tuple[int, int, int]]] = []
        for each in self.phases:
            occurrences = schedule.occurrences(each.start)
            last = len(self._before) - 1
            self._before.append(
                {
                    factor: (count, *(self._first(last, factor, count) if self._before else (0, 0)))
                    for factor, count in occurrences.items()
                }
            )
        self._offsets: dict[str, list[int]] = {}
        if earlier_counts is not None:
            alike = self.sample_counts(start() // accumulate)
            self._offsets = {
                factor: [was - now for was, now in zip(earlier_counts[factor], alike[factor], strict=True)]
                for factor in alike.keys() & earlier_counts
            }

    def sample_counts(self, step: int) -> dict[str, list[int]]:
        """Factor -> numbers of the first sample and of the first crop of its next minibatch, from a step on."""
        occurrences, phase = self.schedule.occurrences(step), self.phase(step)
        return {factor: self._next(phase, factor, count) for factor, count in occurrences.items()}

    def batch(self, position: int) -> list[SampleIndex]:
        """The samples of one batch."""
        step = position // self.accumulate
        (factor, cycle, occurrence), phase = self.schedule.at(step), self.phase(step)
        number, crop = self._next(phase, factor, occurrence)
        _, sizes, crop_size = self.phases[phase]
        return [
            SampleIndex(factor, cycle, number + i, crop + i, crop_size) for i in self._part(position, sizes[factor])
        ]

    def _next(self, phase: int, factor: str, occurrence: int) -> list[int]:
        """Numbers of the first sample and of the first crop of a factor's minibatch."""
        offsets = self._offsets.get(factor, (0, 0))
        return [first + offset for first, offset in zip(self._first(phase, factor, occurrence), offsets, strict=True)]

    def _first(self, phase: int, factor: str, occurrence: int) -> tuple[int, int]:
        """The same without those of an earlier run."""
        before, number, crop = self._before[phase][factor]
        samples, repeats = self.samples(phase)[factor], self.repeats.get(factor, 1)
        return number + (occurrence - before) * samples, crop + (occurrence - before) // repeats * samples


class MixedBatches(Batches):
    """Batches of samples of all factors: the schedule's places are samples, and a step takes the next ones.

    Args:
        schedule: See `Batches`, as `phases`, `start`, `end`, `accumulate`, `rank`, `world_size`. Of a phase all factors
            have the same size.
        earlier_counts: What `sample_counts` said of this step in the run that goes on here; None: it was this one.
    """

    def __init__(
        self,
        schedule: CyclicSchedule,
        phases: Sequence[PhaseBatches],
        start: Callable[[], int],
        end: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
        earlier_counts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(schedule, phases, start, end, accumulate, rank, world_size)
        self._before = [0]
        for number, (each, following) in enumerate(zip(self.phases, self.phases[1:], strict=False)):
            self._before.append(self._before[-1] + (following.start - each.start) * self._samples(number))
        self._offset = 0
        if earlier_counts is not None:
            drawn = sum(samples for samples, _ in earlier_counts.values())
            self._offset = drawn - self._place(start() // accumulate)

    def sample_counts(self, step: int) -> dict[str, list[int]]:
        """Factor -> number of its next sample, which is that of its crop too, from a step on."""
        return {factor: [count, count] for factor, count in self.schedule.occurrences(self._place(step)).items()}

    def batch(self, position: int) -> list[SampleIndex]:
        """The samples of one batch."""
        step = position // self.accumulate
        first, (_, sizes, crop_size) = self._place(step), self.phases[self.phase(step)]
        size = next(iter(sizes.values()))
        places = (self.schedule.at(first + i) for i in self._part(position, size))
        return [SampleIndex(factor, cycle, number, number, crop_size) for factor, cycle, number in places]

    def _place(self, step: int) -> int:
        """The schedule's place of a step's first sample."""
        phase = self.phase(step)
        return self._before[phase] + (step - self.phases[phase].start) * self._samples(phase) + self._offset

    def _samples(self, phase: int) -> int:
        return next(iter(self.samples(phase).values()))
