"""Training that turned NaN stops, names where, and leaves what is good."""

import json
import math

import pytest
import torch
from lightning.pytorch import Callback

from restore_lightning.checkpoints import load_trained
from restore_lightning.errors import UserError
from tests.conftest import CONF
from tests.killing import added


class Spoil(Callback):
    """Makes a batch's images, or the weights behind it, not finite.

    Args:
        batch: Its number, from 0.
        value: That comes into it.
        weights: Into the weights.
    """

    def __init__(self, batch: int, value: str, weights: bool = False) -> None:
        self.batch = batch
        self.value = float(value)
        self.weights = weights

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.batch and not self.weights:
            batch["clean"][0, 0, 0, 0] = self.value

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.batch + 1 and self.weights:
            with torch.no_grad():
                weight = next(pl_module.network.parameters())
                weight[(0,) * weight.dim()] = self.value


def run(folder, *words):
    return (
        "fit",
        "--config",
        CONF / "tiny.yaml",
        "--trainer.default_root_dir",
        folder,
        "--trainer.max_steps",
        8,
        *words,
    )


SHORT = ("--trainer.limit_val_batches", 0, "--checkpoint.every_n_train_steps", 2)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_the_first_loss_that_is_not_finite_is_named(value, restore, tmp_path):
    """Found when a row is logged two steps later; last.ckpt stays what it was."""
    words = (*SHORT, "--trainer.log_every_n_steps", 8, *added(Spoil, batch=4, value=value))
    code, _, err = restore(*run(tmp_path, *words))
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith("restore fit:")]
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    factors = ("rain", "blur", "jpeg", "haze")
    assert any(f"training diverged: the loss of {name} is not finite in step 5 (batch 5)" in line for name in factors)
    assert f"{tmp_path / 'checkpoints/last.ckpt'} was saved before and is kept" in line
    assert last["global_step"] == 4
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())


def test_steps_of_several_batches(restore, tmp_path):
    """Batches 5 and 6 make step 3; no checkpoint had been saved."""
    words = (
        "--trainer.accumulate_grad_batches",
        2,
        "--checkpoint.every_n_train_steps",
        0,
        "--trainer.log_every_n_steps",
        1,
    )
    words += ("--trainer.limit_val_batches", 0, *added(Spoil, batch=5, value="nan"))
    code, _, err = restore(*run(tmp_path, *words))
    assert code == 1
    assert "is not finite in step 3 (batch 6); nothing was saved before" in err


def test_weights_that_are_not_finite_are_not_saved(restore, tmp_path):
    """The losses so far were fine."""
    words = (*SHORT, "--trainer.log_every_n_steps", 8, *added(Spoil, batch=3, value="nan", weights=True))
    code, _, err = restore(*run(tmp_path, *words))
    assert code == 1
    assert "training diverged" in err
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] in (2, 4)
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())


@pytest.fixture
def diverged(step_1, tmp_path):
    """A checkpoint as earlier versions wrote it."""
    checkpoint = torch.load(step_1, weights_only=True)
    name = next(name for name, tensor in checkpoint["state_dict"].items() if tensor.is_floating_point())
    weight = checkpoint["state_dict"][name]
    weight[(0,) * weight.dim()] = math.inf
    torch.save(checkpoint, tmp_path / "diverged.ckpt")
    return tmp_path / "diverged.ckpt"


def test_weights_that_are_not_finite_are_not_read(diverged, restore, photographs, tmp_path):
    """By `apply` and `export` (this function), `test`, `fit` from it, and as where training starts."""
    said = f"checkpoint {diverged}: 1 of its "
    with pytest.raises(UserError, match="are not finite"):
        load_trained(diverged)
    for words in (
        ("apply", diverged, photographs, "--output", tmp_path / "out"),
        (
            "test",
            "--config",
            CONF / "tiny.yaml",
            "--ckpt_path",
            diverged,
            "--trainer.default_root_dir",
            tmp_path / "test",
        ),
        (*run(tmp_path / "fit"), "--ckpt_path", diverged),
        ("fit", "--config", CONF / "recurrent.yaml", "--model.init_from", diverged, *run(tmp_path / "fit")[3:5]),
    ):
        code, _, err = restore(*words)
        assert code == 1, words
        assert said in err
    assert not (tmp_path / "fit/checkpoints").exists()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_infinity_in_what_is_no_parameter():
    """As masks hold it."""
    from restore_lightning.checkpoints import not_finite

    network = torch.nn.Linear(2, 2)
    network.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    network.register_buffer("mean", torch.tensor([0.0, math.nan]))
    assert not_finite(network, network.state_dict()) == ["mean"]


@pytest.mark.parametrize("scale", ["16.0", "1e-6"])
def test_a_scaler_that_no_longer_helps(scale, restore, tmp_path):
    """A step that it leaves out is no error (`test_mean_losses.py`), as long as there is something left to scale by."""
    from tests.tasks.test_kernels import FLOAT16

    plugin = json.loads(json.dumps(FLOAT16))
    assert plugin
    words = (*SHORT, "--trainer.plugins", json.dumps([plugin]), *added(Scaled, scale=float(scale)))
    code, _, err = restore(*run(tmp_path, *words, "--trainer.log_every_n_steps", 1))
    assert (code == 1) == (scale == "1e-6"), err
    assert ("training diverged" in err) == (scale == "1e-6")


class Scaled(Spoil):
    """Sets the scale by which losses are multiplied, and spoils a batch.

    Args:
        scale: The number.
    """

    def __init__(self, scale: float) -> None:
        super().__init__(batch=3, value="inf")
        self.scale = scale

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if batch_idx == self.batch:
            trainer.precision_plugin.scaler.update(self.scale)
