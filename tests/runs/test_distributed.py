"""Several processes train one network: as one of them would, and none waits for ever for another."""

import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from lightning.pytorch import Trainer

from restore_lightning.cli import main
from restore_lightning.runs.distributed import configure_ddp
from restore_lightning.tasks import ImageToImageTask
from tests.conftest import CONF
from tests.killing import KillAt

STEPS = 20
RESTORE = [sys.executable, "-m", "restore_lightning"]
# One thread for each process: sums over several differ in the last bit, and the cores are few.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CONF.parents[1]), "OMP_NUM_THREADS": "1"}
TIMEOUT = 600


def trained(config, run, batch, devices, *words) -> dict:
    """The last checkpoint of a run of so many processes; one is this one."""
    command = ["fit", "--config", CONF / config, "--trainer.default_root_dir", run, "--data.crop_size", 32]
    command += ["--data.batch_size", batch, "--trainer.devices", devices, "--trainer.max_steps", STEPS]
    command = list(map(str, [*command, "--trainer.precision", "32-true", *words]))
    if devices == 1:
        assert main(command) == 0
    else:
        command = [*RESTORE, *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=ENVIRONMENT, check=False)
        assert done.returncode == 0, done.stderr
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def distance(ours, theirs, steps=STEPS) -> float:
    """Largest difference of two checkpoints' weights."""
    assert ours["global_step"] == theirs["global_step"] == steps
    return max(float((value - theirs["state_dict"][name]).abs().max()) for name, value in ours["state_dict"].items())


def moved(checkpoint, start) -> float:
    """Largest distance of a checkpoint's weights from those it started with."""
    return max(
        float((value - start["state_dict"][name]).abs().max()) for name, value in checkpoint["state_dict"].items()
    )


NO_VALIDATION = ("--trainer.limit_val_batches", 0)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A multi-branch network after 20 steps on one process, scored on two images per set."""
    run = tmp_path_factory.mktemp("one")
    words = ("--trainer.limit_val_batches", 1.0, "--trainer.val_check_interval", STEPS, "--trainer.logger", "true")
    return run, trained("tiny.yaml", run, 4, 1, *words)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The same by two processes of half the batch; `checkpoints/10.ckpt` is of its step 10."""
    run = tmp_path_factory.mktemp("two")
    keep = {"every_n_train_steps": 10, "save_top_k": -1, "filename": "{step}", "auto_insert_metric_name": False}
    callbacks = json.dumps([{"class_path": "ModelCheckpoint", "init_args": {**keep, "dirpath": f"{run}/checkpoints"}}])
    words = ("--trainer.callbacks", callbacks, "--trainer.logger", "true", "--trainer.val_check_interval", STEPS)
    return run, trained("tiny.yaml", run, 2, 2, *words)


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(one, two):
    """Branches are idle in turn; no strategy is named."""
    assert distance(one[1], two[1]) < 1e-5
    assert moved(one[1], torch.load(two[0] / "checkpoints/10.ckpt", weights_only=True)) > 1e-4


@pytest.mark.slow
def test_files_of_a_run_are_written_once(one, two):
    run, _ = two
    rows, alone = (list(csv.DictReader((folder / "metrics.csv").open())) for folder in (run, one[0]))
    assert [row["step"] for row in rows] == [row["step"] for row in alone]
    for row, other in zip(rows, alone, strict=True):  # losses of both processes, not of the first one
        for factor in ("rain", "blur", "jpeg", "haze"):
            name = f"train/{factor}/loss"
            assert bool(row[name]) == bool(other[name])
            assert float(row[name] or 0) == pytest.approx(float(other[name] or 0), abs=1e-4)
    assert len(list(run.glob("wandb/offline-run-*"))) == 1
    assert {path.name for path in run.glob("pictures/*")} == {f"val-{f}.png" for f in ("rain", "blur", "jpeg", "haze")}
    assert "10.ckpt" in {path.name for path in run.glob("checkpoints/*")}


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "batch"), [(1, 4), (4, 1)])
def test_a_checkpoint_of_two_processes_goes_on_with_other_numbers(devices, batch, one, two, tmp_path):
    """At the same position in the data; four processes score sets of two images."""
    words = ("--trainer.limit_val_batches", 1.0, "--trainer.val_check_interval", 10, "--trainer.logger", "true")
    start = ("--ckpt_path", two[0] / "checkpoints/10.ckpt")
    assert distance(one[1], trained("tiny.yaml", tmp_path, batch, devices, *words, *start)) < 1e-5
    ours, theirs = (list(csv.DictReader((run / "metrics.csv").open()))[-1] for run in (tmp_path, one[0]))
    for name in ("val/psnr", "val/ssim", "val/haze/psnr"):
        assert float(ours[name]) == pytest.approx(float(theirs[name]), abs=1e-3)


@pytest.mark.slow
def test_samples_go_on_when_their_number_per_step_changes(two, tmp_path):
    """10 steps of 4 samples and 10 of 2, of four factors in turn."""
    last = trained("tiny.yaml", tmp_path, 2, 1, *NO_VALIDATION, "--ckpt_path", two[0] / "checkpoints/10.ckpt")
    begun = torch.load(two[0] / "checkpoints/10.ckpt", weights_only=True)["RestorationData"]["drawn"]
    assert sum(draws for draws, _ in begun.values()) == 10 * 4
    assert sum(draws for draws, _ in last["RestorationData"]["drawn"].values()) == 10 * 4 + 10 * 2


@pytest.mark.slow
@pytest.mark.parametrize("end", [("--trainer.max_steps", 3), KillAt.words(3, "step", signal.SIGUSR1)])
def test_a_checkpoint_goes_on_with_other_numbers_of_batches_per_step(end, restore, tmp_path):
    """3 steps of one batch of 2, then steps of two batches of 1, against steps of one."""
    for name, batch, accumulate, last in (("whole", 2, 1, ()), ("parts", 2, 1, end), ("parts", 1, 2, ())):
        words = ("fit", "--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path / name, *NO_VALIDATION)
        sizes = ("--data.batch_size", batch, "--trainer.accumulate_grad_batches", accumulate)
        sizes += ("--trainer.precision", "32-true")
        code, _, err = restore(*words, *sizes, "--trainer.max_steps", 8, "--ckpt_path", "last", *last)
        assert code == (138 if "--trainer.callbacks" in last else 0), err
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["global_step"] == parts["global_step"] == 8
    assert moved(parts, whole) < 1e-5
    assert parts["RestorationData"]["drawn"] == whole["RestorationData"]["drawn"]


@pytest.mark.slow
def test_recurrent_fine_tuning_by_two_processes(step_1, tmp_path):
    """As one process with twice the batch, and as one that accumulates two batches, whose rounding is the same.

    The first by SGD: in four passes a clamp or ReLU flips by rounding, and Adam makes whole steps of small gradients.
    """
    words = (*NO_VALIDATION, "--model.init_from", step_1, "--trainer.max_steps", 8)
    sgd = ("--model.optimizer", json.dumps({"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}))
    runs = [trained("recurrent.yaml", tmp_path / f"sgd-{n}", 2 // n, n, *words, *sgd) for n in (1, 2)]
    assert distance(*runs, steps=8) < 1e-5
    assert moved(runs[0], torch.load(step_1, weights_only=True)) > 1e-3
    two = ("--trainer.accumulate_grad_batches", 2)
    alone = trained("recurrent.yaml", tmp_path / "adam-1", 1, 1, *words, *two)
    assert distance(alone, trained("recurrent.yaml", tmp_path / "adam-2", 1, 2, *words), steps=8) < 1e-7


@pytest.mark.slow
def test_a_single_factor_network_by_two_processes(tmp_path):
    """With a learning rate that falls when the loss of both stops to."""
    plateau = {"monitor": "train/rain/loss", "patience": 2, "factor": 0.5}
    schedule = {"class_path": "lightning.pytorch.cli.ReduceLROnPlateau", "init_args": plateau}
    words = (*NO_VALIDATION, "--model.lr_scheduler", json.dumps(schedule))
    runs = [
        trained("single.yaml", tmp_path / str(n), 4 // n, n, *words, "--trainer.strategy", strategy)
        for n, strategy in ((1, "auto"), (2, "ddp"))
    ]
    assert distance(*runs) < 1e-5
    rates = [run["optimizer_states"][0]["param_groups"][0]["lr"] for run in runs]
    assert rates[0] == rates[1] < 1e-4


@pytest.mark.slow
def test_mixed_batches_are_the_same_on_any_number_of_processes(tmp_path):
    """20 steps on one, against 10 on two, whose batches may have other factors, and 10 on one."""
    words = (*NO_VALIDATION, "--trainer.logger", "true", "--trainer.log_every_n_steps", 5)
    one = trained("mixed.yaml", tmp_path / "one", "null", 1, *words)
    parts = ("--trainer.max_steps", 10)
    trained("mixed.yaml", tmp_path / "parts", "null", 2, *words, *parts)
    both = trained("mixed.yaml", tmp_path / "parts", "null", 1, *words, "--ckpt_path", "last")
    assert distance(one, both) < 1e-5
    assert one["RestorationData"]["drawn"] == both["RestorationData"]["drawn"]
    rows, others = (list(csv.DictReader((tmp_path / run / "metrics.csv").open())) for run in ("one", "parts"))
    for row, other in zip(rows, others, strict=True):
        for factor in ("jpeg", "noise15", "noise50"):
            name = f"train/{factor}/loss"
            assert float(row[name]) == pytest.approx(float(other[name]), abs=1e-5)


def test_a_strategy_that_overlooks_idle_branches_is_refused(restore, tmp_path):
    words = ("--trainer.devices", 2, "--trainer.strategy", "ddp_find_unused_parameters_false")
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path, *words)
    assert code == 2
    assert "idle in turn: give --trainer.strategy ddp" in err


@pytest.mark.parametrize(
    ("norm", "sync", "told"),
    [("BatchNorm2d", False, True), ("BatchNorm2d", True, False), ("InstanceNorm2d", False, False)],
)
def test_each_process_normalises_by_its_own_batch(norm, sync, told, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("restore_lightning"), "propagate", True)  # which the command switches off
    network = torch.nn.Sequential(getattr(torch.nn, norm)(3))
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False)
    with caplog.at_level("WARNING", "restore_lightning.runs.distributed"):
        configure_ddp(trainer, ImageToImageTask(network), idle_branches=False, sync_batchnorm=sync)
    assert ("give --trainer.sync_batchnorm true" in caplog.text) == told


def on_two_machines(folders, words) -> list[tuple[int, str]]:
    """Exit codes and messages of two nodes of one process each, that run in folders of their own."""
    port = str(find_free_network_port())
    processes = []
    for node, folder in enumerate(folders):
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": str(node), "LOCAL_RANK": "0"}
        command = [*RESTORE, "fit", "--config", str(CONF / "tiny.yaml"), "--trainer.num_nodes", "2", *words[node]]
        processes.append(
            subprocess.Popen(command, cwd=folder, env=ENVIRONMENT | variables, stderr=subprocess.PIPE, text=True)
        )
    try:
        messages = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, messages, strict=True)]


ROOT = ("--data.root", "photos", "--data.val_sets", "{own: {clean: val, factor: rain}}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words", "expected"),
    [
        (lambda node: (node / "photos/a.png").unlink(), (), "differ in data.root photos: rank 0"),
        (lambda node: (node / "val/a.png").write_bytes(b"\x89PNG"), (), "val/a.png"),
        (
            lambda node: shutil.copy(node / "val/more/c.png", node / "val/d.png"),
            (),
            "data.val_sets.own.clean val: rank",
        ),
        (lambda node: None, ("--data.batch_size", "3"), "differ in data.batch_size: rank 0 ("),
    ],
)
def test_processes_that_see_other_data_all_stop(change, words, expected, photos, tmp_path):
    """A file that is missing, damaged or added, and another setting."""
    nodes = [tmp_path / name for name in ("first", "second")]
    for node in nodes:
        for folder in ("photos", "val"):
            shutil.copytree(photos, node / folder)
    change(nodes[1])
    ends = on_two_machines(nodes, [ROOT, (*ROOT, *words)])
    for code, text in ends:
        (line,) = [line for line in text.splitlines() if line.startswith("restore fit:")]
        assert code == 1
        assert expected in line
    assert not list(Path(tmp_path).rglob("*.ckpt"))
