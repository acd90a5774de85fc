"""What real devices lack or do otherwise: no float64, float16's overflow, runs that move from one to another."""

import csv
import json
import math

import pytest
import torch
from lightning.pytorch import Callback

from tests.devices.pretended import DEVICE, on_device
from tests.killing import added

pytestmark = pytest.mark.slow

RARE = ("--trainer.log_every_n_steps", 1000, "--trainer.limit_val_batches", 0)


class Spoil(Callback):
    """Makes one minibatch NaN.

    Args:
        step: Its place, from 0.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.step:
            batch["degraded"].fill_(math.nan)


def last(run):
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True, map_location="cpu")


def test_validation_and_test_without_float64(words, tmp_path):
    fit = words("MBN").fit(tmp_path, 4, *DEVICE, "--trainer.val_check_interval", 4)
    test = ("test", "--config", tmp_path / "config.yaml", "--trainer.precision", "32-true")
    assert [report["code"] for report in on_device(fit, test, float64=False)] == [0, 0]
    (scored,) = json.loads((tmp_path / "scores.json").read_text())["sets"].values()
    assert math.isfinite(scored["restored"]["psnr"])


def test_a_minibatch_that_is_not_finite(words, tmp_path):
    """The scaler of 16-mixed leaves out its step; losses and the schedule that watches them go on."""
    plateau = {"class_path": "lightning.pytorch.cli.ReduceLROnPlateau", "init_args": {"monitor": "train/loss"}}
    given = ("--model.lr_scheduler", json.dumps(plateau), "--trainer.log_every_n_steps", 4, *added(Spoil, step=1))
    validation = ("--trainer.limit_val_batches", 0, "--trainer.precision", "16-mixed")
    on_device((*words("MBN").fit(tmp_path, 8, *DEVICE), *validation, *given))
    saved = last(tmp_path)
    assert all(bool(tensor.isfinite().all()) for tensor in saved["state_dict"].values())
    assert all(map(math.isfinite, saved["running_losses"].values()))
    assert math.isfinite(saved["lr_schedulers"][0]["best"])
    with (tmp_path / "metrics.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    losses = [float(value) for name, value in row.items() if name.endswith("/loss") and value]
    assert len(losses) >= 4
    assert all(map(math.isfinite, losses))


def test_a_run_goes_from_the_cpu_to_the_device_and_back(words, tmp_path):
    """With averaged weights, which are on the device too."""
    averaging = {"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.5}}
    given = (*RARE, "--trainer.callbacks", json.dumps([averaging]))
    made, moved, whole = words("MBN"), tmp_path / "moved", tmp_path / "whole"
    here, there, back = (), (*DEVICE, "--ckpt_path", "last"), ("--ckpt_path", "last")
    fits = [made.fit(moved, 2 * n, *where, *given) for n, where in enumerate((here, there, back), 1)]
    reports = on_device(*fits, made.fit(whole, 6, *given))
    assert [report["operations"] > 0 for report in reports] == [False, True, False, False]
    ours, theirs = last(moved), last(whole)
    assert ours["global_step"] == theirs["global_step"] == 6
    for state in ("state_dict", "current_model_state", "averaging_state"):
        for name, value in theirs[state].items():
            torch.testing.assert_close(ours[state][name], value, rtol=1e-4, atol=1e-6)
