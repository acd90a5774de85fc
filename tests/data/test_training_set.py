"""How a sample becomes crops, and crops a batch."""

import pytest
import torch

from restore_lightning.data.config import FactorConfig, ResolvedFactor, resolve_factor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.scenes import CleanScenes
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.data.training_set import TrainingSet, augment, collate, draw_turns
from restore_lightning.degradations import Blur, Haze, Jpeg, Rain
from restore_lightning.errors import UserError
from restore_lightning.seeding import generator

FACTORS = {
    "rain": ResolvedFactor(32, ("hflip",), Rain()),
    "blur": ResolvedFactor(48, (), Blur()),
    "jpeg": ResolvedFactor(48, ("hflip", "vflip", "rot90"), Jpeg()),
    "haze": ResolvedFactor(48, (), Haze()),
}


@pytest.mark.parametrize("factor", FACTORS)
def test_a_sample_is_a_pure_function_of_its_index(source, factor):
    one, other = (
        TrainingSet(dict.fromkeys(FACTORS, SyntheticPairs(source)), FACTORS, seed=1)[SampleIndex(factor, 0, 5, 5)]
        for _ in range(2)
    )
    size = FACTORS[factor].crop_size
    for key in ("degraded", "clean"):
        assert one[key].shape == (3, size, size)
        assert one[key].dtype == torch.uint8
        assert torch.equal(one[key], other[key])
    assert torch.equal(one["turns"], other["turns"])
    for changed in (
        TrainingSet(dict.fromkeys(FACTORS, SyntheticPairs(source)), FACTORS, seed=2)[SampleIndex(factor, 0, 5, 5)],
        TrainingSet(dict.fromkeys(FACTORS, SyntheticPairs(source)), FACTORS, 1)[SampleIndex(factor, 0, 6, 6)],
    ):
        assert not torch.equal(one["degraded"], changed["degraded"])


def test_augmentations_only_where_allowed():
    samples = TrainingSet(dict.fromkeys(FACTORS, SyntheticPairs(CleanScenes())), FACTORS, 0)
    for factor, allowed in (("rain", [True, False, False]), ("blur", [False] * 3), ("jpeg", [True] * 3)):
        turns = torch.stack([samples[SampleIndex(factor, 0, number, number)]["turns"] for number in range(40)])
        assert (turns.amax(0) > 0).tolist() == allowed
        assert turns.amax(0).tolist() == [most * used for most, used in zip((1, 1, 3), allowed, strict=True)]


def test_augment_flips_and_turns_each_image_by_itself():
    image = torch.rand(16, 3, 8, 8)
    turns = torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(4))
    result = augment(image, turns)
    for one, (horizontal, vertical, quarter), turned in zip(image, turns.tolist(), result, strict=True):
        expected = one.flip(2) if horizontal else one
        expected = expected.flip(1) if vertical else expected
        assert torch.equal(turned, expected.rot90(quarter, (1, 2)))


def test_collate():
    samples = TrainingSet(dict.fromkeys(FACTORS, SyntheticPairs(CleanScenes())), FACTORS, 0)
    batch = collate([samples[SampleIndex("rain", 7, number, number)] for number in range(3)])
    assert (batch["factor"], batch["cycle"]) == ("rain", 7)
    assert batch["degraded"].shape == batch["clean"].shape == (3, 3, 32, 32)


def test_the_seven_flips_and_turns_that_change_something():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    turns = torch.stack([torch.from_numpy(draw_turns(("seven",), generator(0, n))) for n in range(700)])
    made = [tuple(augment(image, one[None]).flatten().tolist()) for one in turns.unique(dim=0)]
    flips = [side.rot90(quarter, (2, 3)) for side in (image, image.flip(3)) for quarter in range(4)]
    assert sorted(made) == sorted(tuple(side.flatten().tolist()) for side in flips[1:])
    counts = turns.unique(dim=0, return_counts=True)[1]
    assert len(counts) == 7
    assert (counts - 100).abs().max() < 5 * 100**0.5


def test_all_seven_or_others():
    with pytest.raises(UserError, match=r"data.factors.rain.augment .* seven holds all flips and turns, give it alone"):
        resolve_factor("rain", FactorConfig(augment=["hflip", "seven"]), 32)
