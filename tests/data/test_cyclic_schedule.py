"""The cyclic schedule."""

from collections import Counter

import pytest

from restore_lightning.data.cyclic_schedule import CyclicSchedule

PAPER = {"haze": 1, "rain": 1, "jpeg": 1, "blur": 3}


def test_every_one_of_1000_cycles_has_the_declared_minibatches():
    schedule = CyclicSchedule(PAPER, seed=1)
    for cycle in range(1000):
        turns = [schedule.at(6 * cycle + place) for place in range(6)]
        assert Counter(turn.factor for turn in turns) == PAPER
        assert {turn.cycle for turn in turns} == {cycle}


def test_the_order_is_shuffled_per_cycle_and_by_the_seed():
    orders = [CyclicSchedule(PAPER, seed=0).order(cycle) for cycle in range(1000)]
    assert len(set(orders)) == 120  # 6! / 3! different orders; all appear
    first = Counter(order[0] for order in orders)  # blur starts half of the cycles, the others a sixth each
    assert 440 < first["blur"] < 560
    assert all(120 < first[factor] < 215 for factor in ("haze", "rain", "jpeg"))
    assert orders != [CyclicSchedule(PAPER, seed=1).order(cycle) for cycle in range(1000)]


def test_a_pure_function_of_the_step():
    forwards = [CyclicSchedule(PAPER, seed=3).at(step) for step in range(60)]
    schedule = CyclicSchedule(PAPER, seed=3)
    assert [schedule.at(step) for step in reversed(range(60))][::-1] == forwards


def test_occurrences_count_each_factors_minibatches():
    schedule, seen = CyclicSchedule(PAPER, seed=5), Counter()
    for step in range(600):
        turn = schedule.at(step)
        assert turn.occurrence == seen[turn.factor]
        seen[turn.factor] += 1


def test_the_order_of_the_first_cycles_is_fixed():
    """Resuming a run on another machine must give the same order: these are constants."""
    schedule = CyclicSchedule({"rain": 1, "blur": 2, "haze": 1}, seed=0)
    assert [schedule.order(cycle) for cycle in range(3)] == FIRST


FIRST = [("blur", "haze", "blur", "rain"), ("rain", "blur", "haze", "blur"), ("rain", "blur", "blur", "haze")]


def test_cycles_of_a_hundred_thousand_samples_have_a_known_place():
    """PromptIR's epoch: three noises 3 times, rain 120 times, haze once."""
    counts = {"noise15": 3 * 5144, "noise25": 3 * 5144, "noise50": 3 * 5144, "rain": 200 * 120, "haze": 72135}
    schedule = CyclicSchedule(counts, seed=0)
    assert schedule.length == 142_431
    for place in (0, 142_430, 142_431, 200_000, 284_861):
        assert schedule.at(place).occurrence == schedule.occurrences(place)[schedule.at(place).factor]
    assert schedule.occurrences(284_862) == {factor: 2 * count for factor, count in counts.items()}


@pytest.mark.parametrize("minibatches", [{}, {"rain": 0}, {"rain": -1}])
def test_impossible_schedules(minibatches):
    with pytest.raises(ValueError, match=r"no factor|at least 1"):
        CyclicSchedule(minibatches, seed=0)
