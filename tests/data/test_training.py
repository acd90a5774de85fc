import pytest
import torch

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.folders import CleanFolder
from restore_lightning.data.sources.scenes import CleanScenes
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.data.training import TrainingSet, augment, collate
from restore_lightning.degradations import Blur, Haze, Jpeg, Noise, Rain
from restore_lightning.errors import UserError
from restore_lightning.io.images import read_image, to_float

FACTORS = {
    "rain": ResolvedFactor(2, 32, ("hflip",), Rain()),
    "blur": ResolvedFactor(2, 48, (), Blur()),
    "jpeg": ResolvedFactor(2, 48, ("hflip", "vflip", "rot90"), Jpeg()),
    "haze": ResolvedFactor(2, 48, (), Haze()),
}


@pytest.fixture(params=["scenes", "folder"])
def source(request, photos):
    return CleanScenes() if request.param == "scenes" else CleanFolder(photos, 48)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_draw_is_a_pure_function(source, factor):
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


def test_degraded_and_clean_show_the_same_place(source):
    sample = TrainingSet(
        {"noise": SyntheticPairs(source)}, {"noise": ResolvedFactor(1, 48, (), Noise(sigmas=(2,)))}, 0
    )[SampleIndex("noise", 0, 3, 3)]
    difference = to_float(sample["degraded"]) - to_float(sample["clean"])
    assert difference.std() * 255 == pytest.approx(2, rel=0.25)


def test_a_round_takes_every_photograph_once(photos):
    source = CleanFolder(photos, 16)
    crops = [source.crop(number, 16, 0, seed=0)[0].image for number in range(6)]
    images = [read_image(path) for path in source.paths]

    def origin(crop):
        return next(
            i
            for i, image in enumerate(images)
            if (image.unfold(1, 16, 1).unfold(2, 16, 1) == crop[:, None, None]).all((0, 3, 4)).any()
        )

    assert sorted(origin(crop) for crop in crops[:3]) == sorted(origin(crop) for crop in crops[3:]) == [0, 1, 2]


def test_the_margin_ends_at_the_image(photos):
    source = CleanFolder(photos, 190)  # the images are 200 x 280
    clean, window = source.crop(0, 190, 30, seed=0)
    assert clean.image.shape[1] <= 200
    assert window.cut(clean.image).shape == (3, 190, 190)


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


def test_folders_that_cannot_be_trained_on(tmp_path, photos):
    with pytest.raises(UserError, match=r"no folder"):
        CleanFolder(tmp_path / "nothing", 16)
    with pytest.raises(UserError, match=r"holds no images"):
        CleanFolder(tmp_path, 16)
    with pytest.raises(UserError, match=r"crop_size 256 is larger than 3 of 3 images.*280x200"):
        CleanFolder(photos, 256)
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "good.png").write_bytes((photos / "a.png").read_bytes())
    with pytest.raises(UserError, match=r"1 of 2 files.*broken\.png cannot be read"):
        CleanFolder(tmp_path, 16)
