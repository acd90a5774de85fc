"""Averaged weights, early stopping and the best checkpoints: Lightning's own callbacks in a run of ours."""

import json
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Callback

from restore_lightning.checkpoints import load_trained
from tests.conftest import CONF
from tests.killing import KillAt

TINY = CONF / "tiny.yaml"
DECAY = 0.5
AVERAGE = {"class_path": "EMAWeightAveraging", "init_args": {"decay": DECAY}}
STATES = ("state_dict", "current_model_state", "averaging_state")


class Seen(Callback):
    """Keeps the weights after each step."""

    weights: list = []  # noqa: RUF012  (of the class: the command makes the object)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.weights.append({name: value.clone() for name, value in pl_module.state_dict().items()})


def named(callback) -> dict:
    return {"class_path": f"{callback.__module__}.{callback.__qualname__}"}


def words(run, steps, *callbacks) -> list:
    """A command line of a short run."""
    given = ("--trainer.callbacks", json.dumps(callbacks)) if callbacks else ()
    return ["fit", "--config", TINY, "--trainer.default_root_dir", run, "--trainer.max_steps", steps, *given]


def read(run, name="last"):
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)


def assert_same(ours, theirs, keys=STATES):
    for key in keys:
        assert ours[key].keys() == theirs[key].keys()
        assert all(torch.equal(value, theirs[key][name]) for name, value in ours[key].items()), key


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A run of 8 steps that averages weights, and the weights after each step."""
    from restore_lightning.cli import main

    run = tmp_path_factory.mktemp("averaged")
    Seen.weights.clear()
    assert main([str(word) for word in words(run, 8, AVERAGE, named(Seen))]) == 0
    return run, list(Seen.weights)


@pytest.mark.slow
def test_a_checkpoint_holds_the_average_and_the_current_weights(averaged):
    run, steps = averaged
    expected = steps[0]
    for weights in steps[1:]:
        expected = {name: DECAY * value + (1 - DECAY) * weights[name] for name, value in expected.items()}
    last = read(run)
    assert last["weights"] == "averaged"
    assert len(steps) == last["averaging_state"]["n_averaged"] == 8
    for name, value in expected.items():
        assert torch.allclose(last["state_dict"][name], value, atol=1e-6), name
        assert torch.equal(last["current_model_state"][name], steps[-1][name])
    assert any(not torch.equal(value, steps[-1][name]) for name, value in last["state_dict"].items())


@pytest.mark.slow
def test_validation_test_and_apply_use_the_average(averaged, small_tests, restore):
    """The score that chose best.ckpt is that of the weights which are read from it."""
    run, _ = averaged
    best = read(run, "best")
    (state,) = [state for name, state in best["callbacks"].items() if name.startswith("BestCheckpoint")]
    code, out, err = restore("validate", "--config", run / "config.yaml")
    assert code == 0, err
    assert "WeightAveraging" not in err
    assert restore("test", "--config", run / "config.yaml", *small_tests)[0] == 0
    scores = json.loads((run / "scores.json").read_text())
    assert (scores["weights"], scores["step"]) == ("averaged", best["global_step"])
    psnr = [float(line.split(" / ")[1].split()[-1]) for line in out.splitlines() if line.endswith(" dB")]
    assert len(psnr) == 4
    assert sum(psnr) / 4 == pytest.approx(float(state["best_model_score"]), abs=0.01)
    network = load_trained(run / "checkpoints/best.ckpt").network
    assert all(
        torch.equal(value, best["state_dict"][f"network.{name}"]) for name, value in network.state_dict().items()
    )


@pytest.mark.slow
def test_a_run_goes_on_from_its_end_as_if_it_had_never_stopped(averaged, restore, tmp_path):
    run, _ = averaged
    assert restore(*words(tmp_path, 4, AVERAGE))[0] == 0
    assert restore(*words(tmp_path, 8, AVERAGE), "--ckpt_path", "last")[0] == 0
    assert_same(read(tmp_path), read(run))


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_average(restore, tmp_path):
    """Every second step is averaged, two batches make a step; killed between steps and while a checkpoint is saved."""
    every = {"class_path": "EMAWeightAveraging", "init_args": {"decay": DECAY, "update_every_n_steps": 2}}
    more = ("--trainer.accumulate_grad_batches", 2, "--trainer.val_check_interval", 8, "--ckpt_path", "last")
    for step, moment in ((5, "step"), (6, "save")):
        kill = named(KillAt) | {"init_args": {"step": step, "moment": moment}}
        command = [sys.executable, "-m", "restore_lightning", *words(tmp_path / "killed", 8, every, kill), *more]
        done = subprocess.run(list(map(str, command)), cwd=CONF.parents[1], timeout=600, check=False)
        assert done.returncode == -9
    for run in ("killed", "whole"):
        assert restore(*words(tmp_path / run, 8, every), *more)[0] == 0
    assert_same(read(tmp_path / "killed"), read(tmp_path / "whole"))
    assert read(tmp_path / "whole")["averaging_state"]["n_averaged"] == 4


def test_weights_alone_are_the_averaged_ones(averaged, restore, tmp_path):
    light = {"class_path": "ModelCheckpoint", "init_args": {"save_weights_only": True, "filename": "light"}}
    light["init_args"] |= {"dirpath": str(tmp_path / "checkpoints"), "every_n_train_steps": 8}
    assert restore(*words(tmp_path, 8, AVERAGE, light))[0] == 0
    kept = read(tmp_path, "light")
    assert kept["weights"] == "averaged"
    assert_same(kept, read(averaged[0]), ["state_dict"])


def test_an_averaging_run_does_not_go_on_without(averaged, restore, tmp_path):
    code, _, err = restore(*words(tmp_path, 9), "--ckpt_path", averaged[0] / "checkpoints/last.ckpt")
    assert code == 2
    assert "averages its weights, this one does not: go on with" in err


def test_averages_beside_a_schedule(restore, tmp_path):
    """The average is a copy of the task; the schedule's maker, which leads to the command's open files, stays one."""
    plateau = {"class_path": "lightning.pytorch.cli.ReduceLROnPlateau", "init_args": {"monitor": "train/loss"}}
    code, _, err = restore(*words(tmp_path, 2, AVERAGE), "--model.lr_scheduler", json.dumps(plateau))
    assert code == 0, err
    assert read(tmp_path)["weights"] == "averaged"


def test_a_misspelt_argument_of_a_callback(restore, tmp_path):
    code, _, err = restore(*words(tmp_path, 1, AVERAGE | {"init_args": {"decey": 0.9}}))
    assert code == 2
    assert "decey" in err


# No score is this much better than the first one.
STOPPING = {"class_path": "EarlyStopping", "init_args": {"monitor": "val/psnr", "mode": "max", "min_delta": 100.0}}
STOPPING["init_args"]["patience"] = 2


@pytest.mark.slow
def test_early_stopping_acts_at_validation_and_counts_on(restore, tmp_path):
    """Validation every 2 steps: the third one is the second without a better score."""
    for name, steps in (("whole", [20]), ("parts", [4, 20])):
        for number, end in enumerate(steps):
            go_on = ("--ckpt_path", "last") if number else ()
            call = words(tmp_path / name, end, STOPPING)
            code, out, err = restore(*call, "--trainer.val_check_interval", 2, *go_on)
            assert code == 0, err
        assert "stopped early: Monitored metric val/psnr did not improve in the last 2 records" in out
    whole, parts = read(tmp_path / "whole"), read(tmp_path / "parts")
    assert whole["global_step"] == parts["global_step"] == 6
    assert_same(whole, parts, ["state_dict"])


@pytest.mark.slow
def test_the_best_checkpoints_and_a_run_that_starts_over(restore, tmp_path):
    top = {"class_path": "ModelCheckpoint", "init_args": {"monitor": "val/psnr", "mode": "max", "save_top_k": 2}}
    more = ("--trainer.val_check_interval", 2, "--trainer.logger", "true")
    assert restore(*words(tmp_path, 8, top), *more)[0] == 0
    names = {path.name for path in tmp_path.glob("checkpoints/*.ckpt")}
    assert len(names) == 4
    assert {"best.ckpt", "last.ckpt"} < names
    code, _, err = restore(*words(tmp_path, 2, top), *more)
    assert code == 2
    assert min(names - {"best.ckpt", "last.ckpt"}) in err
    assert restore(*words(tmp_path, 2, top), *more, "--overwrite")[0] == 0
    assert {path.name for path in tmp_path.glob("checkpoints/*.ckpt")} == {
        "best.ckpt",
        "last.ckpt",
        "epoch=0-step=2.ckpt",
    }
