"""Where a factor's images are: shards of pairs or clean images, folders, scenes, `data.root`."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.locations import fingerprint
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.degradations import Noise
from restore_lightning.errors import UserError
from tests.conftest import CONF
from tests.data.conftest import samples_of

TINY = CONF / "tiny.yaml"


def test_each_factor_has_its_source(sets, photos):
    factors = {
        "rain": FactorConfig(shards=str(sets / "pairs")),
        "jpeg": FactorConfig(shards=str(sets / "photos")),
        "noise": FactorConfig(clean=str(sets / "clean/train")),
        "haze": FactorConfig(scenes=True),
        "blur": FactorConfig(),
    }
    module = RestorationData(factors, root=str(photos), crop_size=32)
    module.setup("fit")
    for sample in samples_of(module, "rain"):
        assert torch.equal(sample["degraded"].int(), sample["clean"].int() + 20)
    clean = np.stack([np.asarray(Image.open(path)) for path in sorted((sets / "clean/train").iterdir())])
    windows = np.lib.stride_tricks.sliding_window_view(clean[..., 0], (32, 32), axis=(1, 2))
    for factor in ("jpeg", "noise"):
        for sample in samples_of(module, factor, 2):
            assert (windows == sample["clean"][0].numpy()).all(axis=(3, 4)).any()
            assert not torch.equal(sample["degraded"], sample["clean"])
    assert not torch.equal(samples_of(module, "haze", 1)[0]["clean"], samples_of(module, "blur", 1)[0]["clean"])
    scored = {dataset.name: len(dataset) for dataset in module.val_sets}
    assert scored == {"rain": 2, "jpeg": 1, "noise": 2, "haze": 2, "blur": 2}  # jpeg: the shards' val; else bundled
    module.setup("test")
    scored = {dataset.name: (len(dataset), dataset[0]["name"]) for dataset in module.test_sets}
    assert scored["rain"] == (1, "3")
    assert scored["noise"] == (3, "astronaut")


def test_shards_as_root(sets):
    module = RestorationData({"jpeg": FactorConfig(), "noise": FactorConfig()}, root=str(sets / "photos"), crop_size=32)
    module.setup("fit")
    assert [(dataset.name, len(dataset)) for dataset in module.val_sets] == [("jpeg", 1), ("noise", 1)]
    one = RestorationData({"rain": FactorConfig()}, root=str(sets / "pairs"), crop_size=32)
    one.setup("fit")
    assert all(torch.equal(s["degraded"].int(), s["clean"].int() + 20) for s in samples_of(one, "rain"))
    two = RestorationData({"rain": FactorConfig(), "noise": FactorConfig()}, root=str(sets / "pairs"), crop_size=32)
    with pytest.raises(UserError, match=r"one kind of degraded images, and rain, noise would all train on them"):
        two.setup("fit")
    own = RestorationData({"rain": FactorConfig(), "noise": FactorConfig(scenes=True)}, root=str(sets / "pairs"))
    own.setup("fit")


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ({"shards": "SETS/pairs", "clean": "x"}, "data.factors.rain names shards and clean: give one of them"),
        ({"shards": "SETS/pairs", "scenes": True}, "names shards and scenes"),
        ({"clean": "x", "scenes": True}, "names clean and scenes"),
        ({"shards": "SETS/nowhere"}, "nowhere is no folder: give one that `restore shards pack`"),
        ({"shards": "SETS/clean"}, "has no index.npz"),
        ({"shards": "SETS/pairs", "crop_size": 151}, "crop_size 151 is larger than 3 of 3 images"),
        ({"shards": "SETS/photos", "crop_size": 151}, "crop_size 151 is larger than 3 of 3 images"),
        ({"shards": "SETS/pairs", "degradation": Noise()}, "are degraded already"),
    ],
)
def test_wrong_sources(factor, message, sets):
    given = {key: str(value).replace("SETS", str(sets)) if key == "shards" else value for key, value in factor.items()}
    with pytest.raises(UserError) as refused:
        RestorationData({"rain": FactorConfig(**given)}, crop_size=32).setup("fit")
    assert message in str(refused.value)


def test_more_wrong_sources(sets, tmp_path, restore):
    words = ("shards", "pack", "pairs", sets / "root", tmp_path / "test", "--split", "test", "--workers", 0)
    assert restore(*words)[0] == 0
    with pytest.raises(UserError, match="has no training images, only test: name another set for factor 'rain'"):
        RestorationData({"rain": FactorConfig(shards=str(tmp_path / "test"))}).setup("fit")
    with pytest.raises(UserError, match="clean images only, and there is no degradation named 'dirt'"):
        RestorationData({"dirt": FactorConfig(shards=str(sets / "photos"))}).setup("fit")
    pairs = {"dirt": FactorConfig(shards=str(sets / "pairs"))}
    with pytest.raises(UserError, match="'dirt' has pairs of its own for training: name pairs for val too"):
        RestorationData(pairs, crop_size=32).setup("fit")
    for given, message in (
        (EvaluationConfig(), "give shards .* or clean"),
        (EvaluationConfig("x", shards="y"), "give shards .* or clean"),
        (EvaluationConfig(shards=str(sets / "pairs"), degraded="x"), "degraded says nothing beside shards"),
        (EvaluationConfig("x", split="test"), "split says nothing beside clean"),
        (EvaluationConfig(shards=str(sets / "pairs"), split="val"), "split val: .* has test, train; give one of them"),
    ):
        with pytest.raises(UserError, match=message):
            RestorationData({"rain": FactorConfig()}, val_sets={"x": given}).setup("fit")


@pytest.mark.slow
def test_a_run_that_goes_on_with_other_shards_says_so(sets, tmp_path, restore, caplog):
    mine = tmp_path / "mine"
    pack = ("shards", "pack", "pairs", sets / "root", mine, "--workers", 0)
    fit = ("fit", "--config", TINY, "--trainer.default_root_dir", tmp_path / "run", "--ckpt_path", "last")
    source = ("--data.factors.rain.shards", mine, "--trainer.val_check_interval", 2)
    assert restore(*pack)[0] == 0
    assert restore(*fit, *source, "--trainer.max_steps", 2)[0] == 0
    code, _, err = restore(*fit, *source, "--trainer.max_steps", 4)
    assert (code, "resuming with other data" in err) == (0, False)
    assert restore(*pack, "--size", "100x80", "--overwrite")[0] == 0
    code, _, err = restore(*fit, *source, "--trainer.max_steps", 6)
    assert code == 0, err
    assert "resuming with other data: shards of rain was" in err
    assert "of blur" not in err
    (mine / "train-000000.tar").unlink()
    code, _, err = restore(*fit, *source, "--trainer.max_steps", 8)
    assert code == 1
    assert "1 of 2 shards of" in err
    code, _, err = restore(*fit, "--trainer.max_steps", 8)
    assert code == 2
    assert "go on with --config " in err
    assert "config.yaml" in err


@pytest.mark.slow
def test_training_from_the_published_samples(shared, restore, tmp_path, caplog):
    """MBN's factors from packed RESIDE, DID-MDN and BSD500, blur from scenes; scored on Rain12 and SOTS."""
    caplog.set_level(logging.INFO)
    for name, folder, words in (
        ("reside", "RESIDE", ()),
        ("did-mdn-test", "DIDMDN_layout", ("--split", "train")),
        ("bsd500", "BSDS500", ()),
        ("rain12", "Rain12", ()),
    ):
        assert restore("shards", "pack", name, shared / "data" / folder, tmp_path / name, *words)[0] == 0
    sources = tmp_path / "sources.yaml"
    sources.write_text(f"""
trainer: {{max_steps: 8, limit_test_batches: 2}}
data:
  num_workers: 2
  factors:
    rain: {{minibatches: 1, shards: {tmp_path}/did-mdn-test}}
    blur: {{minibatches: 3, scenes: true}}
    jpeg: {{minibatches: 1, shards: {tmp_path}/bsd500}}
    haze: {{minibatches: 1, protocol: mbn-rgb, shards: {tmp_path}/reside}}
  val_sets:
    sots: {{shards: {tmp_path}/reside, split: test_indoor, factor: haze}}
  test_sets:
    rain12: {{shards: {tmp_path}/rain12, factor: rain, protocol: matlab-y}}
    sots: {{shards: {tmp_path}/reside, split: test_indoor, factor: haze, protocol: durn-rgb}}
""")
    run = ("--trainer.default_root_dir", tmp_path / "run")
    assert restore("fit", "--config", TINY, "--config", sources, *run)[0] == 0
    assert restore("test", "--config", tmp_path / "run/config.yaml")[0] == 0
    scores = json.loads((tmp_path / "run/scores.json").read_text())["sets"]
    assert scores["sots"]["degraded"]["psnr"] == pytest.approx((14.79 + 13.71) / 2, abs=0.01)
    assert scores["rain12"]["protocol"] == "matlab-y"


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


def test_a_list_is_compared_by_what_it_names(tmp_path):
    """Not by its size alone."""
    places = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for place, text in zip(places, ("1.png\n", "2.png\n", "1.png\n"), strict=True):
        place.write_text(text)
    first, other, same = map(fingerprint, places)
    assert first == same != other
