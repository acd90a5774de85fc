"""Which samples go into which batch, on which rank, also in a run that goes on."""

import pytest

from restore_lightning.data.cyclic_schedule import CyclicSchedule
from restore_lightning.data.sampler import MixedBatches, PhaseBatches, ScheduledBatches

PAPER = {"haze": 1, "rain": 1, "jpeg": 1, "blur": 3}


def start() -> int:
    return 0


BATCH = {"haze": 2, "rain": 3, "jpeg": 1, "blur": 4}


def alike(sizes, times=1):
    """Batches that are alike in all steps."""
    return [PhaseBatches(0, {factor: times * size for factor, size in sizes.items()})]


@pytest.mark.parametrize("world_size", [2, 4])
def test_every_rank_trains_the_same_factor_on_other_samples(world_size):
    ranks = [
        list(ScheduledBatches(CyclicSchedule(PAPER, 7), alike(BATCH), start, 120, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    one = list(ScheduledBatches(CyclicSchedule(PAPER, 7), alike(BATCH, world_size), start, 120))
    for batches, whole in zip(zip(*ranks, strict=True), one, strict=True):
        assert len({index.factor for batch in batches for index in batch}) == 1
        assert [index for batch in batches for index in batch] == whole  # as one rank with all their samples


def test_a_step_has_one_factor_however_it_is_accumulated():
    whole = list(ScheduledBatches(CyclicSchedule(PAPER, 2), alike(BATCH, 4), start, 60))
    parts = list(ScheduledBatches(CyclicSchedule(PAPER, 2), alike(BATCH), start, 240, accumulate=4))
    for step, samples in enumerate(whole):
        assert [index for part in parts[4 * step : 4 * step + 4] for index in part] == samples


def test_no_sample_is_drawn_twice():
    samples = [
        index for batch in ScheduledBatches(CyclicSchedule(PAPER, 0), alike(BATCH), start, 600) for index in batch
    ]
    assert len({(index.factor, index.number) for index in samples}) == len(samples)


def test_resuming_goes_on_at_the_position():
    whole = ScheduledBatches(CyclicSchedule(PAPER, 0), alike(BATCH), start, 50)
    rest = ScheduledBatches(CyclicSchedule(PAPER, 0), alike(BATCH), lambda: 17, 50)
    assert list(rest) == list(whole)[17:]
    assert len(rest) == len(whole) == 50  # Lightning expects the full length


@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 1), (2, 1), (1, 2)])
def test_repeated_minibatches_have_the_same_clean_crops(accumulate, world_size):
    """Paper 1's gray noise: ten kinds of noise per batch; each sample is a new one, every tenth step has new crops."""
    schedule, size, end = CyclicSchedule({"noise": 1}, 0), alike({"noise": 4}), 40 * accumulate
    ranks = [
        list(ScheduledBatches(schedule, size, start, end, accumulate, rank, world_size, {"noise": 10}))
        for rank in range(world_size)
    ]
    steps = [
        [
            index
            for batches in ranks
            for batch in batches[step * accumulate : (step + 1) * accumulate]
            for index in batch
        ]
        for step in range(40)
    ]
    for step in range(40):
        assert [index.crop for index in steps[step]] == [index.crop for index in steps[step // 10 * 10]]
    numbers = [index.number for step in steps for index in step]
    assert sorted(numbers) == list(range(len(numbers)))
    crops = {index.crop for step in steps for index in step}
    assert crops == set(range(len(numbers) // 10))


@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 1), (2, 2), (1, 4)])
def test_other_numbers_of_samples_per_step_go_on_with_the_next_sample(accumulate, world_size):
    """90 steps of one process, then 90 of another size: no sample twice, none left out, the schedule as ever."""
    schedule, step = CyclicSchedule(PAPER, 7), 90
    before = ScheduledBatches(schedule, alike(BATCH), start, step)
    ranks = [
        ScheduledBatches(
            schedule, alike(BATCH), lambda: step * accumulate, 2 * step * accumulate, accumulate, rank, world_size,
            earlier_counts=before.sample_counts(step),
        )
        for rank in range(world_size)
    ]  # fmt: skip
    after = [[index for batch in batches for index in batch] for batches in zip(*map(list, ranks), strict=True)]
    turns = [schedule.at(step + number // accumulate).factor for number in range(step * accumulate)]
    assert [samples[0].factor for samples in after] == turns
    samples = [index for batch in before for index in batch] + [index for batch in after for index in batch]
    for factor in PAPER:
        numbers = [index.number for index in samples if index.factor == factor]
        assert numbers == list(range(len(numbers)))
    assert ranks[0].sample_counts(2 * step) == {f: [sum(index.factor == f for index in samples)] * 2 for f in PAPER}


def test_repeated_crops_go_on_too():
    schedule = CyclicSchedule({"noise": 1}, 0)
    before = ScheduledBatches(schedule, alike({"noise": 2}), start, 10, repeats={"noise": 5})
    counts = before.sample_counts(10)
    assert counts == {"noise": [20, 4]}
    more = ScheduledBatches(schedule, alike({"noise": 6}), lambda: 10, 12, repeats={"noise": 5}, earlier_counts=counts)
    assert [[index.crop for index in batch] for batch in more] == [list(range(4, 10))] * 2
    assert [[index.number for index in batch] for batch in more] == [list(range(20, 26)), list(range(26, 32))]


SOURCES = {"noise": 40, "rain": 60, "haze": 25}
PHASES = [
    PhaseBatches(0, dict.fromkeys(SOURCES, 4), 16),
    PhaseBatches(11, dict.fromkeys(SOURCES, 2), 32),
    PhaseBatches(14, dict.fromkeys(SOURCES, 1), 48),
]


def divided(phases, parts):
    """The same steps in so many parts."""
    return [
        each._replace(sizes={factor: size // parts for factor, size in each.sizes.items()}, start=each.start)
        for each in phases
    ]


def test_mixed_batches_have_each_factors_share_of_every_cycle():
    """And each of its samples once, so that images are drawn as often as `copies` says."""
    batches = MixedBatches(CyclicSchedule(SOURCES, 3), alike(dict.fromkeys(SOURCES, 5)), start, 75)
    samples = [index for batch in batches for index in batch]
    for cycle in range(3):
        for factor, count in SOURCES.items():
            numbers = [index.number for index in samples if (index.factor, index.cycle) == (factor, cycle)]
            assert numbers == list(range(cycle * count, (cycle + 1) * count))
    assert samples[:125] != [index._replace(cycle=0, number=index.number - 25) for index in samples[125:250]]
    assert len({len({index.factor for index in batch}) for batch in batches}) > 1
    assert batches.sample_counts(75) == {factor: [3 * count] * 2 for factor, count in SOURCES.items()}


@pytest.mark.parametrize("kind", [MixedBatches, ScheduledBatches])
@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 4), (2, 2), (4, 1)])
def test_samples_of_phases_are_the_same_on_any_ranks(kind, accumulate, world_size):
    schedule = CyclicSchedule(SOURCES if kind is MixedBatches else PAPER, 7)
    phases = [each._replace(sizes=dict.fromkeys(schedule.counts, 4 * each.sizes["rain"])) for each in PHASES]
    whole = list(kind(schedule, phases, start, 20))
    assert [(len(batch), batch[0].crop_size) for batch in whole] == [(16, 16)] * 11 + [(8, 32)] * 3 + [(4, 48)] * 6
    parts = [
        kind(schedule, divided(phases, 4), start, 20 * accumulate, accumulate, rank, world_size)
        for rank in range(world_size)
    ]
    for step, samples in enumerate(whole):
        positions = range(step * accumulate, (step + 1) * accumulate)
        assert [index for position in positions for rank in parts for index in rank.batch(position)] == samples
    for factor in schedule.counts:
        numbers = [index.number for batch in whole for index in batch if index.factor == factor]
        assert numbers == list(range(len(numbers)))
        assert parts[0].sample_counts(20)[factor][0] == len(numbers)


@pytest.mark.parametrize("kind", [MixedBatches, ScheduledBatches])
@pytest.mark.parametrize("stop", [5, 12])
def test_phases_go_on_with_the_next_sample_where_steps_have_more(kind, stop):
    schedule = CyclicSchedule(SOURCES, 1)
    before = kind(schedule, PHASES, start, stop)
    more = [each._replace(sizes=dict.fromkeys(SOURCES, 3 * each.sizes["rain"])) for each in PHASES]
    after = kind(schedule, more, lambda: stop, 20, earlier_counts=before.sample_counts(stop))
    samples = [index for batch in (*before, *after) for index in batch]
    for factor in SOURCES:
        numbers = [index.number for index in samples if index.factor == factor]
        assert numbers == list(range(len(numbers)))
    again = kind(schedule, more, lambda: 17, 20, earlier_counts=after.sample_counts(17))
    assert list(again) == list(after)[17 - stop :]
