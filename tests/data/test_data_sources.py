"""A source per factor: shards of pairs, shards of clean images, folders, scenes; and the sets that are scored."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.degradations import Noise
from restore_lightning.errors import UserError
from tests.conftest import CONF

TINY = CONF / "tiny.yaml"


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Folder of sets: `pairs` (degraded = clean + 20, 200x150; train and test), `photos` (clean; train and val)."""
    from restore_lightning.cli import main

    where = tmp_path_factory.mktemp("sets")
    images = [data.coffee(), data.chelsea(), data.astronaut(), data.rocket()]
    for number, image in enumerate(images):
        clean = image[:150, :200].clip(0, 235)
        for kind, values in (("clean", clean), ("degraded", clean + 20)):
            split = "test" if number == 3 else "train"
            path = where / f"root/{split}/{kind}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
        path = where / f"clean/{'val' if number == 0 else 'train'}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clean).save(path)
    for layout, root, name in (("pairs", "root", "pairs"), ("clean", "clean", "photos")):
        assert main(["shards", "pack", layout, str(where / root), str(where / name), "--workers", "0"]) == 0
    return where


def drawn(module, factor, count=6):
    return [module.training_set[SampleIndex(factor, 0, number, number)] for number in range(count)]


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
    for sample in drawn(module, "rain"):
        assert torch.equal(sample["degraded"].int(), sample["clean"].int() + 20)
    clean = np.stack([np.asarray(Image.open(path)) for path in sorted((sets / "clean/train").iterdir())])
    windows = np.lib.stride_tricks.sliding_window_view(clean[..., 0], (32, 32), axis=(1, 2))
    for factor in ("jpeg", "noise"):
        for sample in drawn(module, factor, 2):
            assert (windows == sample["clean"][0].numpy()).all(axis=(3, 4)).any()
            assert not torch.equal(sample["degraded"], sample["clean"])
    assert not torch.equal(drawn(module, "haze", 1)[0]["clean"], drawn(module, "blur", 1)[0]["clean"])
    scored = {dataset.name: len(dataset) for dataset in module.val_sets}
    assert scored == {"rain": 2, "jpeg": 1, "noise": 2, "haze": 2, "blur": 2}  # jpeg: the shards' val; else bundled
    module.setup("test")
    scored = {dataset.name: (len(dataset), dataset[0]["name"]) for dataset in module.test_sets}
    assert scored["rain"] == (1, "3")
    assert scored["noise"] == (3, "astronaut")


def test_clean_shards_and_their_files_give_the_same_batches(sets):
    """A factor degrades crops of a folder and of its shards alike: the same images, crops, noise."""
    batches = []
    for source in ({"clean": str(sets / "clean/train")}, {"shards": str(sets / "photos")}):
        for workers in (0, 2):
            module = RestorationData({"rain": FactorConfig(**source)}, crop_size=32, num_workers=workers)
            module.setup("fit")
            batches.append([sample["degraded"] for sample in drawn(module, "rain")])
    for others in batches[1:]:
        assert all(torch.equal(one, other) for one, other in zip(batches[0], others, strict=True))


def test_shards_as_root(sets):
    module = RestorationData({"jpeg": FactorConfig(), "noise": FactorConfig()}, root=str(sets / "photos"), crop_size=32)
    module.setup("fit")
    assert [(dataset.name, len(dataset)) for dataset in module.val_sets] == [("jpeg", 1), ("noise", 1)]
    one = RestorationData({"rain": FactorConfig()}, root=str(sets / "pairs"), crop_size=32)
    one.setup("fit")
    assert all(torch.equal(s["degraded"].int(), s["clean"].int() + 20) for s in drawn(one, "rain"))
    two = RestorationData({"rain": FactorConfig(), "noise": FactorConfig()}, root=str(sets / "pairs"), crop_size=32)
    with pytest.raises(UserError, match=r"one kind of degraded images, and rain, noise would all train on them"):
        two.setup("fit")
    own = RestorationData({"rain": FactorConfig(), "noise": FactorConfig(scenes=True)}, root=str(sets / "pairs"))
    own.setup("fit")


def test_sets_of_ones_own_from_shards(sets):
    own = {
        "a": EvaluationConfig(shards=str(sets / "pairs"), factor="rain", protocol="matlab-y"),
        "b": EvaluationConfig(shards=str(sets / "pairs"), split="train", factor="rain"),
        "c": EvaluationConfig(shards=str(sets / "photos"), split="val", factor="noise", multiple=48),
        "d": EvaluationConfig(shards=str(sets / "pairs"), factor="rain", multiple=64),
    }
    factors = {"rain": FactorConfig(), "noise": FactorConfig(protocol="mbn-rgb")}
    module = RestorationData(factors, test_sets=own)
    module.setup("test")
    found = {dataset.name: (len(dataset), dataset.factor, dataset.protocol) for dataset in module.test_sets}
    assert found == {
        "a": (1, "rain", "matlab-y"),
        "b": (3, "rain", "durn-y"),
        "c": (1, "noise", "mbn-rgb"),
        "d": (1, "rain", "durn-y"),
    }
    whole, _, photograph, cut = (dataset[0] for dataset in module.test_sets)
    assert torch.equal(whole["degraded"].int(), whole["clean"].int() + 20)
    assert photograph["clean"].shape == photograph["degraded"].shape == (3, 144, 192)
    for version in ("degraded", "clean"):
        assert torch.equal(cut[version], whole[version][:, :128, :192])


def test_pairs_of_another_resolution(sets, restore, tmp_path):
    """x2 pairs, packed: the shipped configuration of a super-resolution network trains on them."""
    for path in sorted((sets / "clean/train").iterdir()):
        for kind, size in (("clean", (200, 150)), ("degraded", (100, 75))):
            (tmp_path / "root" / kind).mkdir(parents=True, exist_ok=True)
            Image.open(path).resize(size).save(tmp_path / f"root/{kind}/{path.name}")
    assert restore("shards", "pack", "pairs", tmp_path / "root", tmp_path / "set", "--workers", 0)[0] == 0
    key = "--data.factors.downscale"
    words = ("fit", "--config", "din_sr.yaml", f"{key}.shards", tmp_path / "set", "--data.crop_size", 16)
    words += ("--data.val_sets", f"{{x: {{shards: {tmp_path / 'set'}, split: train}}}}", "--data.batch_size", 1)
    words += ("--model.network.D", 1, "--model.network.B", 1, "--model.network.M", 2, "--trainer.logger", "false")
    words += ("--trainer.max_steps", 1, "--trainer.limit_val_batches", 1, "--trainer.val_check_interval", 1)
    words += ("--data.num_workers", 0, "--trainer.default_root_dir", tmp_path / "run")
    assert "are degraded already: set it to null" in restore(*words)[2]
    code, _, err = restore(*words, f"{key}.degradation", "null", "--overwrite")
    assert code == 0, err


def test_gray_crops_of_shards(sets):
    module = RestorationData({"noise": FactorConfig(shards=str(sets / "photos"), colour="gray")}, crop_size=32)
    module.setup("fit")
    assert drawn(module, "noise", 1)[0]["clean"].shape == (1, 32, 32)


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
    assert "go on with --config config.yaml" in err


def test_steps_that_validation_would_cut(restore, tmp_path):
    words = ("--trainer.default_root_dir", tmp_path / "run", "--trainer.accumulate_grad_batches", 3)
    code, _, err = restore("fit", "--config", TINY, *words)
    assert code == 2
    assert "trainer.val_check_interval 4 counts batches, and 3 make a step" in err


@pytest.mark.slow
def test_two_processes_score_each_image_once(tmp_path, step_1):
    """Real processes, gloo: the scores of one."""
    scores = []
    for devices in (1, 2):
        run = tmp_path / str(devices)
        words = ["test", "--config", TINY, "--ckpt_path", step_1, "--trainer.default_root_dir", run]
        words += ["--trainer.devices", devices, "--trainer.limit_test_batches", "1.0"]
        words += ["--trainer.strategy", "ddp" if devices == 2 else "auto"]
        subprocess.run([sys.executable, "-m", "restore_lightning", *map(str, words)], check=True, capture_output=True)
        scores.append(json.loads((run / "scores.json").read_text())["sets"])
    one, two = scores
    assert {name: entry["images"] for name, entry in one.items()} == {"rain": 3, "blur": 3, "jpeg": 3, "haze": 5}
    for name, entry in one.items():
        assert two[name]["images"] == entry["images"]
        for version in ("degraded", "restored"):
            assert two[name][version] == pytest.approx(entry[version], abs=1e-6)


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
