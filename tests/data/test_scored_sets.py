"""Which validation and test sets are scored."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.degradations import Jpeg
from restore_lightning.errors import UserError
from restore_lightning.io.images import from_array
from tests.conftest import CONF
from tests.data.conftest import rain_and_jpeg


def test_photographs_are_for_validation_and_test_only():
    data = rain_and_jpeg(val_crop_size=64)
    data.setup("validate")
    data.setup("test")
    names = {
        split: {item.name for s in sets for item in s.images}
        for split, sets in (("val", data.val_sets), ("test", data.test_sets))
    }
    assert names["val"] == {"coffee", "rocket"}
    assert names["test"] == {"astronaut", "chelsea", "motorcycle"}
    assert data.val_sets[0][0]["clean"].shape == (3, 64, 64)
    assert data.test_sets[0][0]["clean"].shape == (3, 512, 512)


def test_a_folder_with_its_own_splits(photos, tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"{split}.png").write_bytes((photos / "a.png").read_bytes())
    data = rain_and_jpeg(root=str(tmp_path))
    for stage in ("fit", "test"):
        data.setup(stage)
    assert [path.name for path in next(iter(data.training_set.sources.values())).clean.paths] == ["train.png"]
    assert [item.name for item in data.val_sets[0].images] == ["val"]
    assert [item.name for item in data.test_sets[0].images] == ["test"]


def test_validation_images_that_cannot_be_read_are_named_at_the_start(photos, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "good.png").write_bytes((photos / "a.png").read_bytes())
    (tmp_path / "val/broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of 2 files.*broken\.png cannot be read"):
        rain_and_jpeg(root=str(tmp_path)).setup("fit")


def test_sets_of_ones_own_from_shards(sets):
    own = {
        "a": EvaluationConfig(shards=str(sets / "pairs"), factor="rain", protocol=["matlab-y", "durn-y"]),
        "b": EvaluationConfig(shards=str(sets / "pairs"), split="train", factor="rain"),
        "c": EvaluationConfig(shards=str(sets / "photos"), split="val", factor="noise", multiple=48),
        "d": EvaluationConfig(shards=str(sets / "pairs"), factor="rain", multiple=64),
    }
    factors = {"rain": FactorConfig(), "noise": FactorConfig(protocol="mbn-rgb")}
    module = RestorationData(factors, test_sets=own)
    module.setup("test")
    found = {dataset.name: (len(dataset), dataset.factor, dataset.protocols) for dataset in module.test_sets}
    assert found == {
        "a": (1, "rain", ("matlab-y", "durn-y")),
        "b": (3, "rain", ("durn-y",)),
        "c": (1, "noise", ("mbn-rgb",)),
        "d": (1, "rain", ("durn-y",)),
    }
    whole, _, photograph, cut = (dataset[0] for dataset in module.test_sets)
    assert torch.equal(whole["degraded"].int(), whole["clean"].int() + 20)
    assert photograph["clean"].shape == photograph["degraded"].shape == (3, 144, 192)
    for version in ("degraded", "clean"):
        assert torch.equal(cut[version], whole[version][:, :128, :192])


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
    assert "{NAME: {shards: FOLDER}}; where no such factor was meant, mend its name (data.factors: dark)" in err


def test_sets_of_ones_own(restore, trained, folders):
    """Names, factors and protocols of one's own; degraded on the fly where only clean images are given."""
    sets = {
        "clean only": {"clean": str(folders / "clean")},
        "pairs": {"clean": str(folders / "clean"), "degraded": str(folders / "dark"), "protocol": "durn-rgb"},
        "twice": {"clean": str(folders / "clean"), "protocol": ["aio-rgb", "durn-y"]},
    }
    words = ("--data.test_sets", json.dumps(sets), "--trainer.limit_test_batches", "1.0")
    code, _, err = restore("test", "--config", trained / "config.yaml", *words)
    assert code == 0, err
    found = json.loads((trained / "scores.json").read_text())["sets"]
    assert {name: (e["factor"], e["protocol"], e["images"]) for name, e in found.items()} == {
        "clean only": ("rain", "durn-y", 3),
        "pairs": ("rain", "durn-rgb", 3),
        "twice": ("rain", "aio-rgb", 3),
    }
    by = found["twice"]["protocols"]
    assert list(by) == ["aio-rgb", "durn-y"]
    assert by["aio-rgb"] == {version: found["twice"][version] for version in ("degraded", "restored")}
    assert by["durn-y"] == {version: found["clean only"][version] for version in ("degraded", "restored")}
    with (trained / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, entry in (("aio-rgb", by["aio-rgb"]), ("durn-y", by["durn-y"])):
        ssims = [float(row["ssim"]) for row in rows if (row["set"], row["protocol"]) == ("twice", name)]
        assert np.mean(ssims) == pytest.approx(np.mean([means["ssim"] for means in entry.values()]))
    page = (trained / "report/index.html").read_text(encoding="utf-8")
    assert page.count("rain, aio-rgb, 3 images") == 1
    assert page.count("rain, durn-y, 3 images") == 2
    words = ("--data.test_sets", json.dumps({"own": {"clean": str(folders / "clean"), "protocol": []}}))
    code, _, err = restore("test", "--config", trained / "config.yaml", *words)
    assert code == 2
    assert "no protocol is named: give some of durn-rgb" in err
    # Nine levels darker, apart from rounding: 20 log10(255 / 9).
    assert found["pairs"]["degraded"]["psnr"] == pytest.approx(29.046, abs=0.001)


def test_a_set_by_dotted_keys(restore, trained, folders):
    """As a factor's, in a config that names no sets too."""
    dotted = ("--data.test_sets.mine.clean", folders / "clean", "--data.test_sets.mine.protocol", "aio-rgb")
    dotted += ("--data.test_sets.mine.multiple", 16, "--data.test_sets.mine.keep", "centre")
    code, _, err = restore("test", "--config", trained / "config.yaml", *dotted, "--trainer.limit_test_batches", "1.0")
    assert code == 0, err
    entry = json.loads((trained / "scores.json").read_text())["sets"]["mine"]
    assert entry["protocol"] == "aio-rgb"
    assert entry["data"].endswith(", the centre cut to multiples of 16 pixels")
    null = ("--data.test_sets", "null", *dotted)
    code, _, err = restore("test", "--config", trained / "config.yaml", *null)
    assert code == 2
    assert "data.test_sets.mine.clean: the config's data.test_sets is null; give it whole" in err


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
