"""Clean images degraded on the fly: the same place, in gray, at low resolution."""

import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.folders import CleanFolder
from restore_lightning.data.sources.scenes import CleanScenes
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.data.training_set import TrainingSet
from restore_lightning.degradations import Downscale, Noise
from restore_lightning.io.images import from_array, in_colour, read_image, to_float, to_uint8


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
