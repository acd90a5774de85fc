"""A network without branches on several factors, told nothing: batches that mix them, its runs, what is refused."""

import csv
import json

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from PIL import Image
from torch import nn

from restore_lightning.checkpoints import load_trained
from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.degradations import Noise
from restore_lightning.errors import UserError
from restore_lightning.io.images import read_image
from restore_lightning.losses import NegativePSNR
from restore_lightning.networks import DRN
from restore_lightning.tasks import ImageToImageTask
from restore_lightning.tasks.mean_losses import MeanLosses
from tests.conftest import CONF, fitted

MIXED = CONF / "mixed.yaml"
FACTORS = ("jpeg", "noise15", "noise50")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run, with its log."""
    folder = tmp_path_factory.mktemp("mixed")
    fitted(MIXED, folder, "--trainer.logger", "true")
    return folder


def mixed_data(photos, **arguments):
    """Ready to train on three photographs."""
    factors = {
        "noise15": FactorConfig(copies=3, degradation=Noise(sigmas=[15])),
        "noise50": FactorConfig(copies=2, degradation=Noise(sigmas=[50])),
        "jpeg": FactorConfig(scenes=True, samples_per_cycle=4),
    }
    data = RestorationData(factors, str(photos), batches="mixed", crop_size=16, **arguments)
    data.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", max_steps=5)
    data.setup("fit")
    return data


def test_a_cycle_has_each_image_as_often_as_copies_says(photos):
    data = mixed_data(photos, batch_size=5)
    assert data.schedule.counts == {"noise15": 9, "noise50": 6, "jpeg": 4}
    batches = list(data.train_dataloader())
    drawn = [name for batch in batches for name in batch["sources"]]
    assert sorted(drawn[:20]) != drawn[:20]
    for batch in batches:
        assert batch["factor"] is None
        assert batch["sources"] == sorted(batch["sources"])
        assert [(name,) for name in batch["sources"]] == batch["factors"]
        assert batch["degraded"].shape == (5, 3, 16, 16)
    indices = [index for batch in data._batches for index in batch][:19]
    for factor, copies in (("noise15", 3), ("noise50", 2)):
        crops = [data.training_set[index]["clean"] for index in indices if index.factor == factor]
        assert len({crop.numpy().tobytes() for crop in crops}) == len(crops) == 3 * copies


@pytest.mark.parametrize("loss", [nn.L1Loss(), NegativePSNR()])
def test_the_loss_is_that_of_the_batch_and_the_logged_ones_are_its_parts(loss, photos):
    data = mixed_data(photos, batch_size=8)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    task = ImageToImageTask(DRN(T=2, R=1, width=2), loss, "increasing")
    task.log = lambda *_, **__: None  # needs a Trainer
    whole, parts = task.losses(batch)
    assert torch.equal(whole, task.loss(batch))
    assert whole.requires_grad
    assert list(parts) == list(dict.fromkeys(batch["sources"]))
    shares = {factor: batch["sources"].count(factor) / 8 for factor in parts}
    assert not any(part.requires_grad for part in parts.values())
    assert sum(shares[factor] * float(parts[factor]) for factor in parts) == pytest.approx(float(whole), rel=1e-5)


def test_means_are_over_samples_and_name_no_factor_without_any():
    losses = MeanLosses(["haze", "rain", "noise"])
    losses.add("rain", torch.tensor(1.0), 0, samples=3)
    losses.add("rain", torch.tensor(5.0), 1, samples=1)
    losses.add("noise", torch.tensor(2.0), 1, samples=2)
    assert losses.of_all_processes(SingleDeviceStrategy("cpu")) == {"rain": 2.0, "noise": 2.0}
    assert list(losses.first_not_finite()) == ["haze", "rain", "noise"]


def test_a_run_goes_on_bit_by_bit(run, restore, tmp_path):
    words = ("fit", "--config", MIXED, "--trainer.default_root_dir", tmp_path, "--trainer.logger", "true")
    for steps in (3, 6):
        code, _, err = restore(*words, "--trainer.max_steps", steps, "--ckpt_path", "last")
        assert code == 0, err
        assert "resuming with" not in err
    whole, parts = (torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in (run, tmp_path))
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, parts["state_dict"][name])
    drawn = whole["RestorationData"]["drawn"]
    assert drawn == parts["RestorationData"]["drawn"]
    assert sum(samples for samples, _ in drawn.values()) == 4 * 4 + 2 * 2
    rows, others = (list(csv.DictReader((folder / "metrics.csv").open())) for folder in (run, tmp_path))
    for row, other in zip(rows, others, strict=True):
        for name in row.keys() - {"step", "epoch"}:  # Lightning counts validations of a run that was extended later
            assert row[name] == other[name], name
    assert {f"train/{factor}/loss" for factor in FACTORS} | {"val/psnr", "val/jpeg/psnr"} <= rows[0].keys()


def test_it_is_tested_told_nothing(run, restore):
    last = str(run / "checkpoints/last.ckpt")
    baselines = {"itself": {"checkpoint": last}, "cascade": {"checkpoint": dict.fromkeys(FACTORS, last)}}
    words = ("--config", run / "config.yaml", "--model.baselines", json.dumps(baselines), "--ckpt_path", last)
    code, out, err = restore("test", *words)
    assert code == 0, err
    assert "DRN (factor unknown)" in out
    scores = json.loads((run / "scores.json").read_text())
    assert scores["methods"]["restored"] == "DRN (factor unknown)"
    assert list(scores["sets"]) == list(FACTORS)
    for found in scores["sets"].values():  # each image has one factor, so that a cascade is one pass too
        assert found["itself"] == found["cascade"] == found["restored"] != found["degraded"]


def test_it_is_applied_told_nothing(run, restore, photos, tmp_path):
    last = run / "checkpoints/last.ckpt"
    assert load_trained(last).factors == FACTORS
    code, out, err = restore("bundle", last, tmp_path / "bundle")
    assert code == 0, err
    assert "removes jpeg, noise15, noise50" in out
    assert "It is told nothing." in (tmp_path / "bundle/README.md").read_text()
    for weights, name in ((last, "run"), (tmp_path / "bundle", "bundled")):
        code, _, err = restore("apply", weights, photos / "a.png", "--output", tmp_path / name)
        assert code == 0, err
    assert torch.equal(read_image(tmp_path / "run/a.png"), read_image(tmp_path / "bundled/a.png"))
    for words in (("--factor", "jpeg"), ("--factor", "fog"), ("--order", "jpeg,noise15,noise50")):
        code, _, err = restore("apply", last, photos / "a.png", *words, "--output", tmp_path / "told")
        assert code == 2
        assert f"{' '.join(words)}: this network removes jpeg, noise15, noise50 at once and is told none" in err


def test_one_factor_in_each_batch_is_possible_too(restore, tmp_path):
    factors = (
        "--data.factors",
        "{jpeg: {minibatches: 2, samples_per_cycle: null}, rain: {crop_size: 20}}",
        "--data.batches",
        "one_factor",
    )
    words = ("--config", MIXED, *factors, "--data.phases", "null", "--trainer.default_root_dir", tmp_path)
    code, _, err = restore("fit", *words, "--trainer.logger", "true")
    assert code == 0, err
    last = tmp_path / "checkpoints/last.ckpt"
    assert load_trained(last).factors == ("jpeg", "rain")
    # What a plateau schedule watches does not depend on the last batch's factor.
    assert torch.load(last, weights_only=True)["running_losses"].keys() == {"jpeg", "rain"}
    code, _, err = restore("fit", "--config", MIXED, *factors[:2], *words[-2:], "--ckpt_path", "last")
    assert code == 2
    assert "data.factors.jpeg.minibatches 2 says nothing where data.batches is mixed" in err


def factor(**arguments):
    return ("--data.factors", json.dumps({"jpeg": {"samples_per_cycle": 3}, "rain": arguments}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (factor(minibatches=2), "data.factors.rain.minibatches 2 says nothing where data.batches is mixed: give"),
        (factor(batch_size=2), "data.factors.rain.batch_size 2 says nothing where data.batches is mixed"),
        (factor(repeats=2), "data.factors.rain.repeats 2 says nothing where data.batches is mixed: give copies"),
        (factor(), "data.factors.rain.samples_per_cycle is missing: its scenes or streamed images have no number"),
        (factor(copies=0), "data.factors.rain.copies 0: give at least 1, or leave the factor out"),
        (factor(copies=2, samples_per_cycle=2), "data.factors.rain has copies and samples_per_cycle: give one of them"),
        (factor(clean="PHOTOS", samples_per_cycle=7), "7 is more than its 3 images: give data.factors.rain.copies 3"),
        (factor(samples_per_cycle=2, crop_size=20), "crops of jpeg are 16 (clean 16) pixels, 3 channels, those of"),
        (("--data.batches", "one_factor"), "jpeg.samples_per_cycle 3 says nothing where data.batches is one_factor"),
        (("--data.phases", "[{steps: 0}]"), "data.phases.0.steps 0: give at least 1"),
        (
            ("--data.phases", "[{steps: 1}, {steps: 1, crop_size: 5}]", "--model.loss", "SSIML1"),
            "crop_size 5 of factor 'jpeg': the network takes multiples of 1 from 6 on",
        ),
        (
            ("--data.phases", "[{steps: 1, samples_per_step: 3}]", "--trainer.accumulate_grad_batches", 2,
             "--trainer.val_check_interval", 2),
            "data.phases.0.samples_per_step 3 on 1 devices x 2 accumulated batches: give a multiple of 2",
        ),
    ],
)  # fmt: skip
def test_wrong_input(words, message, restore, tmp_path, photos):
    words = [str(word).replace("PHOTOS", str(photos)) for word in words]
    code, _, err = restore("fit", "--config", MIXED, *words, "--trainer.default_root_dir", tmp_path / "run")
    assert code == 2
    assert message in err
    assert not (tmp_path / "run/checkpoints").exists()


def test_pairs_of_two_scales_are_refused_before_the_first_batch(photos, tmp_path):
    for path in photos.rglob("*.*"):
        with Image.open(path) as photo:
            for folder, side in (("half", 32), ("clean", 64)):
                (tmp_path / folder).mkdir(exist_ok=True)
                photo.resize((side, side)).save(tmp_path / folder / path.name)
    factors = {
        "small": FactorConfig(clean=str(tmp_path / "clean"), degraded=str(tmp_path / "half")),
        "noise": FactorConfig(scenes=True, samples_per_cycle=2),
    }
    data = RestorationData(factors, batches="mixed", crop_size=16)
    data.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", max_steps=5)
    with pytest.raises(UserError, match=r"\(small 2 times, noise 1 times\): samples of a batch have one size"):
        data.setup("fit")


def test_branches_take_one_factor_in_each_batch(restore, tmp_path):
    counts = json.dumps({name: {"samples_per_cycle": 1, "crop_size": 64} for name in ("rain", "haze")})
    words = ("--data.batches", "mixed", "--data.factors", counts, "--trainer.default_root_dir", tmp_path / "run")
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *words)
    assert code == 2
    assert "a network with branches takes one factor in each batch; give --data.batches one_factor" in err
