"""Folders of pairs: matching by name, sizes, crops of the same place; sets of one's own."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import EvaluationConfig, FactorConfig, ResolvedFactor
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.folders import CleanFolder, FolderPairs, match_pairs, scale_of
from restore_lightning.data.sources.scenes import CleanScenes
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.data.training import TrainingSet
from restore_lightning.degradations import Downscale, Jpeg, Noise
from restore_lightning.errors import UserError
from restore_lightning.io.images import from_array, in_colour, read_image, to_float, to_uint8
from tests.conftest import CONF


@pytest.fixture
def folders(tmp_path):
    """Three pairs of photographs, the "degraded" ones darker by a known amount; one in a subfolder, suffixes differ."""
    for name, image in (("a", data.chelsea()), ("b", data.coffee()), ("sub/c", data.astronaut())):
        clean, dark = image[:120, :150].clip(9), image[:120, :150].clip(9) - 9
        for folder, pixels, suffix in (("clean", clean, ".png"), ("dark", dark, ".bmp")):
            path = tmp_path / folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path


def test_matched_by_name_without_suffix(folders):
    pairs = match_pairs(folders / "dark", folders / "clean")
    assert [pair.name for pair in pairs] == ["a", "b", "sub/c"]
    assert scale_of(pairs) == 1
    one = match_pairs(folders / "dark/a.bmp", folders / "clean/b.png")
    assert [(pair.name, pair.clean.name) for pair in one] == [("a", "b.png")]


def test_what_does_not_fit_is_named(folders, tmp_path):
    (folders / "dark/b.bmp").rename(folders / "dark/d.bmp")
    with pytest.raises(UserError, match=r"1 of 3 have no partner in .*clean: .*d.bmp; 1 of 3 have .*dark: .*b.png"):
        match_pairs(folders / "dark", folders / "clean")
    (folders / "dark/d.bmp").rename(folders / "dark/b.bmp")
    Image.new("RGB", (150, 119)).save(folders / "dark/a.bmp")
    with pytest.raises(UserError, match=r"1 of 3 pairs differ in size: .*a.bmp is 150x119, .*a.png is 150x120"):
        scale_of(match_pairs(folders / "dark", folders / "clean"))
    (folders / "dark/a.bmp").write_text("no image")
    with pytest.raises(UserError, match=r"1 of 3 pairs: .*a.bmp cannot be read"):
        scale_of(match_pairs(folders / "dark", folders / "clean"))
    Image.new("RGB", (150, 120)).save(folders / "dark/a.png")
    with pytest.raises(UserError, match="have one name"):
        match_pairs(folders / "dark", folders / "clean")
    with pytest.raises(UserError, match="no such file or folder"):
        match_pairs(folders / "nowhere", folders / "clean")
    with pytest.raises(UserError, match="give two folders, or two files"):
        match_pairs(folders / "dark", folders / "clean/a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        match_pairs(tmp_path / "empty", folders / "clean")


def test_crops_show_the_same_place(folders):
    source = FolderPairs(folders / "dark", folders / "clean", 32)
    plan = ResolvedFactor(2, 32, (), None)
    crops = [source.pair(SampleIndex("dark", 0, number, number), plan, 5) for number in range(9)]
    for crop in crops:
        assert crop.degraded.shape == crop.clean.shape == (3, 32, 32)
        assert bool((crop.clean - crop.degraded == 9).all())
        assert crop.factors == ("dark",)
    again = source.pair(SampleIndex("dark", 0, 3, 3), plan, 5)
    assert torch.equal(again.clean, crops[3].clean)
    assert not torch.equal(crops[0].clean, crops[3].clean)  # the next round, or another place
    with pytest.raises(UserError, match=r"crop_size 200 is larger than 3 of 3 images"):
        FolderPairs(folders / "dark", folders / "clean", 200)


def test_small_and_large_pairs(folders):
    """Super-resolution pairs: the clean crop is the same place, larger."""
    for path in (folders / "dark").rglob("*.bmp"):
        image = Image.open(path)
        image.resize((50, 40), Image.Resampling.NEAREST).save(path)
    source = FolderPairs(folders / "dark", folders / "clean", 16)
    assert source.scale == 3
    crop = source.pair(SampleIndex("dark", 0, 0, 0), ResolvedFactor(1, 16, (), None), 0)
    assert (crop.degraded.shape, crop.clean.shape) == ((3, 16, 16), (3, 48, 48))
    assert bool((crop.clean[:, 1::3, 1::3] - crop.degraded == 9).all())  # nearest takes the middle pixel
    Image.new("RGB", (75, 60)).save(folders / "dark/a.bmp")
    with pytest.raises(UserError, match="2 and 3 times as large"):
        FolderPairs(folders / "dark", folders / "clean", 16)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_low_resolution_crops_are_those_of_the_whole_image(scale, tmp_path):
    """A crop of the down-scaled image, also where the crop's place is no multiple of the scale."""
    clean = from_array(data.chelsea()[:150, :150])
    Image.fromarray(data.chelsea()[:150, :150]).save(tmp_path / "a.png")
    source = SyntheticPairs(CleanFolder(tmp_path, 20 * scale))
    plan = ResolvedFactor(1, 20, (), Downscale(scale))
    for number in range(6):
        pair = source.pair(SampleIndex("downscale", 0, number, number), plan, 0)
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
    plan = ResolvedFactor(1, 24, (), Noise(sigmas=(50,), clip=False), "gray")
    sample = TrainingSet({"noise": source}, {"noise": plan}, 0)[SampleIndex("noise", 0, 0, 0)]
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


@pytest.fixture
def trained(restore, tmp_path):
    """A tiny run on rain."""
    code, _, err = restore("fit", "--config", CONF / "single.yaml", "--trainer.default_root_dir", tmp_path / "run")
    assert code == 0, err
    return tmp_path / "run"


def test_fit_and_test_on_pairs(restore, folders, tmp_path):
    own = {"degraded": str(folders / "dark"), "clean": str(folders / "clean")}
    words = ("--data.factors", json.dumps({"dark": own | {"protocol": "matlab-y"}}))
    sets = ("--data.val_sets", json.dumps({"held out": own}), "--data.test_sets", json.dumps({"mine": own}))
    run = ("--trainer.default_root_dir", tmp_path / "run")
    code, _, err = restore("fit", "--config", CONF / "single.yaml", *words, *sets, *run)
    assert code == 0, err
    assert "dark: training on the 3 pairs" in err
    code, _, err = restore("test", "--config", tmp_path / "run/config.yaml", "--trainer.limit_test_batches", "1.0")
    assert code == 0, err
    ((name, entry),) = json.loads((tmp_path / "run/scores.json").read_text())["sets"].items()
    assert (name, entry["factor"], entry["protocol"], entry["images"]) == ("mine", "dark", "matlab-y", 3)

    code, _, err = restore("fit", "--config", CONF / "single.yaml", *words, *run, "--overwrite")
    assert code == 2
    assert "factor 'dark' has pairs of its own for training: name pairs for val too, by --data.val_sets" in err


def test_sets_of_ones_own(restore, trained, folders):
    """Names, factors and protocols of one's own; degraded on the fly where only clean images are given."""
    sets = {
        "clean only": {"clean": str(folders / "clean")},
        "pairs": {"clean": str(folders / "clean"), "degraded": str(folders / "dark"), "protocol": "durn-rgb"},
    }
    words = ("--data.test_sets", json.dumps(sets), "--trainer.limit_test_batches", "1.0")
    code, _, err = restore("test", "--config", trained / "config.yaml", *words)
    assert code == 0, err
    found = json.loads((trained / "scores.json").read_text())["sets"]
    assert {name: (e["factor"], e["protocol"], e["images"]) for name, e in found.items()} == {
        "clean only": ("rain", "durn-y", 3),
        "pairs": ("rain", "durn-rgb", 3),
    }
    # Nine levels darker, apart from rounding: 20 log10(255 / 9).
    assert found["pairs"]["degraded"]["psnr"] == pytest.approx(29.046, abs=0.001)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clean": "nowhere"}, "nowhere is no folder"),
        ({"clean": "CLEAN", "degraded": "nowhere"}, "nowhere: no such file or folder"),
        ({"clean": "CLEAN", "factor": "fog"}, "data.test_sets.x.factor fog: give one of data.factors (rain)"),
        ({"clean": "CLEAN", "protocol": "psnr"}, "unknown protocol 'psnr'"),
        ({"clean": "CLEAN", "degradde": "x"}, "degradde"),
        ({"clean": "CLEAN", "multiple": 0}, "data.test_sets.x.multiple 0: give at least 1 pixel"),
    ],
)
def test_wrong_sets(given, message, restore, trained, folders):
    given = {key: str(folders / "clean") if value == "CLEAN" else value for key, value in given.items()}
    code, _, err = restore("test", "--config", trained / "config.yaml", "--data.test_sets", json.dumps({"x": given}))
    assert code == 2
    assert message in err


def test_images_cut_to_multiples(folders):
    """At the right and the bottom: pairs as they are read, clean images before they are degraded."""
    clean = from_array(np.asarray(Image.open(folders / "clean/a.png")))
    for path in (folders / "dark").rglob("*.bmp"):  # half as large
        Image.open(path).resize((75, 60)).save(path)
    sets = {
        "pairs": EvaluationConfig(str(folders / "clean"), str(folders / "dark"), multiple=16),
        "on the fly": EvaluationConfig(str(folders / "clean"), multiple=16),
        "too small": EvaluationConfig(str(folders / "clean"), multiple=128),
    }
    module = RestorationData({"jpeg": FactorConfig(degradation=Jpeg((30,)))}, test_sets=sets)
    module.setup("test")
    pairs, on_the_fly, too_small = (dataset for dataset in module.test_sets)
    small = from_array(np.asarray(Image.open(folders / "dark/a.bmp")))
    assert torch.equal(pairs[0]["degraded"], small[:, :48, :64])
    assert torch.equal(pairs[0]["clean"], clean[:, :96, :128])
    assert torch.equal(on_the_fly[0]["clean"], clean[:, :112, :144])
    buffer = io.BytesIO()
    Image.fromarray(clean[:, :112, :144].permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=30)
    assert torch.equal(on_the_fly[0]["degraded"], from_array(np.asarray(Image.open(buffer))))
    with pytest.raises(UserError, match="150x120 pixels cannot be cut to multiples of 128 pixels"):
        too_small[0]


def test_several_factors_need_a_name():
    module = RestorationData(
        {"rain": FactorConfig(), "blur": FactorConfig()}, test_sets={"x": EvaluationConfig(clean="y")}
    )
    with pytest.raises(UserError, match=r"data.test_sets.x.factor None: give one of data.factors \(rain, blur\)"):
        module.setup("test")


def test_a_factor_has_one_source():
    with pytest.raises(UserError, match="a degradation and a folder of degraded images: give one"):
        RestorationData({"rain": FactorConfig(clean="x", degraded="y", degradation=Noise())})


def test_per_factor_folders(folders):
    """Factors with folders of their own beside others on scenes."""
    pairs = FactorConfig(clean=str(folders / "clean"), degraded=str(folders / "dark"))
    photographs = FactorConfig(clean=str(folders / "clean"))
    factors = {"real": pairs, "noise": photographs, "jpeg": FactorConfig()}
    sets = {"x": EvaluationConfig(str(folders / "clean"), factor="noise")}
    module = RestorationData(factors, crop_size=32, val_sets=sets)
    module.setup("fit")
    kinds = {factor: type(source).__name__ for factor, source in module.training_set.sources.items()}
    assert kinds == {"real": "FolderPairs", "noise": "SyntheticPairs", "jpeg": "SyntheticPairs"}
    for factor in factors:
        assert module.training_set[SampleIndex(factor, 0, 1, 1)]["clean"].shape == (3, 32, 32)
