"""Which samples go into which batch, on which rank, also in a run that goes on."""

import pytest

from restore_lightning.data.cyclic_schedule import CyclicSchedule
from restore_lightning.data.sampler import ScheduledBatches

PAPER = {"haze": 1, "rain": 1, "jpeg": 1, "blur": 3}


def start() -> int:
    return 0


BATCH = {"haze": 2, "rain": 3, "jpeg": 1, "blur": 4}


@pytest.mark.parametrize("world_size", [2, 4])
def test_every_rank_trains_the_same_factor_on_other_samples(world_size):
    ranks = [
        list(ScheduledBatches(CyclicSchedule(PAPER, 7), BATCH, start, 120, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    one = list(ScheduledBatches(CyclicSchedule(PAPER, 7), {f: n * world_size for f, n in BATCH.items()}, start, 120))
    for batches, whole in zip(zip(*ranks, strict=True), one, strict=True):
        assert len({index.factor for batch in batches for index in batch}) == 1
        assert [index for batch in batches for index in batch] == whole  # as one rank with all their samples


def test_a_step_has_one_factor_however_it_is_accumulated():
    whole = list(ScheduledBatches(CyclicSchedule(PAPER, 2), {f: 4 * n for f, n in BATCH.items()}, start, 60))
    parts = list(ScheduledBatches(CyclicSchedule(PAPER, 2), BATCH, start, 240, accumulate=4))
    for step, samples in enumerate(whole):
        assert [index for part in parts[4 * step : 4 * step + 4] for index in part] == samples


def test_no_sample_is_drawn_twice():
    samples = [index for batch in ScheduledBatches(CyclicSchedule(PAPER, 0), BATCH, start, 600) for index in batch]
    assert len({(index.factor, index.number) for index in samples}) == len(samples)


def test_resuming_goes_on_at_the_position():
    whole = ScheduledBatches(CyclicSchedule(PAPER, 0), BATCH, start, 50)
    rest = ScheduledBatches(CyclicSchedule(PAPER, 0), BATCH, lambda: 17, 50)
    assert list(rest) == list(whole)[17:]
    assert len(rest) == len(whole) == 50  # Lightning expects the full length


@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 1), (2, 1), (1, 2)])
def test_repeated_minibatches_have_the_same_clean_crops(accumulate, world_size):
    """Paper 1's gray noise: ten kinds of noise per batch; each sample is a new one, every tenth step has new crops."""
    schedule, size, end = CyclicSchedule({"noise": 1}, 0), {"noise": 4}, 40 * accumulate
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
    before = ScheduledBatches(schedule, BATCH, start, step)
    ranks = [
        ScheduledBatches(
            schedule, BATCH, lambda: step * accumulate, 2 * step * accumulate, accumulate, rank, world_size,
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
    before = ScheduledBatches(schedule, {"noise": 2}, start, 10, repeats={"noise": 5})
    counts = before.sample_counts(10)
    assert counts == {"noise": [20, 4]}
    more = ScheduledBatches(schedule, {"noise": 6}, lambda: 10, 12, repeats={"noise": 5}, earlier_counts=counts)
    assert [[index.crop for index in batch] for batch in more] == [list(range(4, 10))] * 2
    assert [[index.number for index in batch] for batch in more] == [list(range(20, 26)), list(range(26, 32))]
