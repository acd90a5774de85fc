"""Clean images degraded on the fly: the same place, in gray, at low resolution."""

import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.data.sources.base import CleanImage
from restore_lightning.data.sources.crops import random_window
from restore_lightning.data.sources.folders import CleanFolder
from restore_lightning.data.sources.local_shards import CleanShards
from restore_lightning.data.sources.scenes import CleanScenes
from restore_lightning.data.sources.synthetic import SyntheticPairs, degrade
from restore_lightning.data.training_set import TrainingSet
from restore_lightning.degradations import Downscale, Haze, Noise, RelativeHaze, cdd11
from restore_lightning.io.images import from_array, in_colour, read_image, to_float, to_uint8
from restore_lightning.seeding import derive, generator


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_low_resolution_crops_are_those_of_the_whole_image(scale, tmp_path):
    """A crop of the down-scaled image, also where the crop's place is no multiple of the scale."""
    clean = from_array(data.chelsea()[:150, :150])
    Image.fromarray(data.chelsea()[:150, :150]).save(tmp_path / "a.png")
    source = SyntheticPairs(CleanFolder(tmp_path, 20 * scale))
    resolved = ResolvedFactor(20, (), Downscale(scale))
    for number in range(6):
        pair = source.pair(SampleIndex("downscale", 0, number, number), resolved, 0)
        assert pair.clean.shape == (3, 20 * scale, 20 * scale)
        place = [
            (top, left)
            for top in range(151 - 20 * scale)
            for left in range(151 - 20 * scale)
            if torch.equal(clean[:, top : top + 20 * scale, left : left + 20 * scale], pair.clean)
        ]
        ((top, left),) = place
        shifted = clean[:, top % scale :, left % scale :]
        height, width = (side // scale for side in shifted.shape[1:])
        small = to_uint8(Downscale(scale)(to_float(shifted[:, : height * scale, : width * scale]), 0))
        expected = small[:, top // scale :, left // scale :][:, :20, :20]
        assert (pair.degraded.int() - expected.int()).abs().max() <= 1


def test_gray_images_are_degraded_in_gray():
    source = SyntheticPairs(CleanScenes())
    resolved = ResolvedFactor(24, (), Noise(sigmas=(50,), levels="free"), "gray")
    sample = TrainingSet({"noise": source}, {"noise": resolved}, 0)[SampleIndex("noise", 0, 0, 0)]
    assert sample["clean"].shape == sample["degraded"].shape == (1, 24, 24)
    assert sample["clean"].dtype == torch.uint8
    assert sample["degraded"].dtype == torch.float32  # neither clipped nor rounded
    noise = (sample["degraded"] - to_float(sample["clean"])) * 255
    assert float(noise.std()) == pytest.approx(50, rel=0.15)


def test_gray_is_opencvs(photos):
    import cv2

    image = read_image(photos / "a.png")
    theirs = cv2.cvtColor(image.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)
    assert (in_colour(image, "gray")[0].int() - torch.from_numpy(theirs).int()).abs().max() <= 1


def test_degraded_and_clean_show_the_same_place(source):
    sample = TrainingSet({"noise": SyntheticPairs(source)}, {"noise": ResolvedFactor(48, (), Noise(sigmas=(2,)))}, 0)[
        SampleIndex("noise", 0, 3, 3)
    ]
    difference = to_float(sample["degraded"]) - to_float(sample["clean"])
    assert difference.std() * 255 == pytest.approx(2, rel=0.25)


@pytest.mark.parametrize(
    "degradation", [Haze(betas=(0.2,)), RelativeHaze(), cdd11("haze")], ids=["haze", "relative", "mixed"]
)
@pytest.mark.parametrize("shards", [False, True], ids=["folder", "shards"])
def test_a_photographs_haze_is_as_deep_in_a_crop_as_in_the_whole(shards, degradation, tmp_path, restore):
    """The stand-in depth is that of the whole photograph, as where it is scored."""
    photograph = data.chelsea()[:, :300]
    Image.fromarray(photograph).save(tmp_path / "a.png")
    clean = CleanFolder(tmp_path, 64)
    if shards:
        code, _, err = restore("shards", "pack", "clean", tmp_path, tmp_path / "out", "--split", "train")
        assert code == 0, err
        clean = CleanShards(ShardSet(tmp_path / "out"), 64)
    resolved = ResolvedFactor(64, (), degradation)
    for number in range(3):
        pair = SyntheticPairs(clean).pair(SampleIndex("haze", 0, number, number), resolved, 5)
        whole = degrade(CleanImage.of_arrays(photograph), "haze", degradation, derive(5, "degradation", number))
        expected = whole.cut(random_window((300, 300), 64, number, 5))
        assert torch.equal(pair.clean, expected.clean)
        assert (pair.degraded.int() - expected.degraded.int()).abs().max() <= 1


def test_a_scenes_haze_is_of_its_own_depth():
    pair = SyntheticPairs(CleanScenes()).pair(SampleIndex("haze", 0, 2, 2), ResolvedFactor(48, (), Haze()), 5)
    scene, _ = CleanScenes().crop(2, 48, 0, 5)
    drawn = Haze().draw(generator(derive(5, "degradation", 2)))
    assert torch.equal(pair.degraded, to_uint8(Haze().apply(to_float(scene.image), scene.depth, **drawn)))
