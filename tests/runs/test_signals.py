"""SIGTERM and SIGUSR1: training stops where a step ends, says so by its exit code, and can go on."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
import torch

from restore_lightning.cli import main
from restore_lightning.errors import UserError
from restore_lightning.runs.folder import lock_run_folder
from restore_lightning.runs.signals import receive_interrupts, receiving_signals
from tests.conftest import CONF
from tests.killing import KillAt, WaitForSignal, assert_same_weights, members, waited

STEPS, EVERY = 8, 4


def words_of(run, accumulate):
    logger = {"class_path": "restore_lightning.runs.loggers.MetricsCSV", "init_args": {"run": str(run)}}
    return [
        *("fit", "--config", CONF / "single.yaml", "--trainer.default_root_dir", run, "--trainer.limit_val_batches", 2),
        *("--ckpt_path", "last", "--trainer.max_steps", STEPS, "--trainer.accumulate_grad_batches", accumulate),
        *("--trainer.val_check_interval", EVERY * accumulate, "--trainer.logger", json.dumps(logger)),
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that nobody stopped, by their accumulation."""
    found = {}

    def run(accumulate):
        if accumulate not in found:
            folder = tmp_path_factory.mktemp("whole")
            assert main([str(word) for word in words_of(folder, accumulate)]) == 0
            found[accumulate] = folder
        return found[accumulate]

    return run


def rows(run):
    """What was logged."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def validations(run):
    return [row for row in rows(run) if "val/psnr" in row]


@pytest.mark.parametrize(
    ("step", "moment", "number", "accumulate", "stopped"),
    [
        (0, "start", signal.SIGTERM, 1, 1),
        (3, "step", signal.SIGUSR1, 1, 4),  # a validation is due behind it
        (2, "step", signal.SIGUSR1, 2, 3),
        (4, "validation", signal.SIGUSR1, 1, 4),
        (4, "after validation", signal.SIGTERM, 2, 5),
        (5, "save", signal.SIGTERM, 1, 6),
        (7, "step", signal.SIGUSR1, 1, 8),  # the last step
        (8, "validation", signal.SIGTERM, 1, 8),
        (3, "step", signal.SIGINT, 1, 4),
        (4, "validation", signal.SIGINT, 1, 4),
    ],
)
def test_stopped_runs_end_like_whole_ones(step, moment, number, accumulate, stopped, whole, restore, tmp_path):
    """Weights, optimiser, best.ckpt and metrics.csv; the signal comes again and again from its moment on."""
    run = words_of(tmp_path, accumulate)
    code, out, err = restore(*run, *KillAt.words(step, moment, number))
    assert code == 128 + number
    assert f"stopped by {number.name} after step {stopped} of {STEPS}: go on with --ckpt_path last" in err
    assert "run:" not in out
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == stopped
    code, out, _ = restore(*run)
    assert code == 0
    assert "run:" in out
    for name in ("last.ckpt", "best.ckpt"):
        assert_same_weights(whole(accumulate) / "checkpoints" / name, tmp_path / "checkpoints" / name)
    assert validations(tmp_path) == validations(whole(accumulate))
    assert [row["step"] for row in rows(tmp_path)] == [row["step"] for row in rows(whole(accumulate))]


def test_a_validation_with_workers_stops_and_scores_as_one_without(whole, restore, tmp_path):
    run = [*words_of(tmp_path, 1), "--data.num_workers", 2]
    assert restore(*run, *KillAt.words(4, "validation", signal.SIGTERM))[0] == 128 + signal.SIGTERM
    assert restore(*run)[0] == 0
    for name in ("last.ckpt", "best.ckpt"):
        assert_same_weights(whole(1) / "checkpoints" / name, tmp_path / "checkpoints" / name)
    assert validations(tmp_path) == validations(whole(1))


def test_ctrl_c_is_left_alone_where_the_command_does_not_receive_signals():
    """A `Trainer` in somebody's own program calls the callback that asks for it."""
    receive_interrupts(aloud=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with receiving_signals():
        receive_interrupts(aloud=False)
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
@pytest.mark.parametrize(("step", "moment"), [(4, "after validation"), (8, "after validation")])
def test_a_validation_that_was_not_saved_is_done_again(step, moment, whole, tmp_path, restore):
    """A kill between the validation and the next save: its row stands once in metrics.csv."""
    run = words_of(tmp_path, 1)
    killed = [*map(str, [*run, *KillAt.words(step, moment)])]
    command = [sys.executable, "-m", "restore_lightning", *killed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CONF.parents[1], timeout=600, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert restore(*run)[0] == 0
    assert rows(tmp_path) == rows(whole(1))


@pytest.mark.slow
def test_a_signal_to_every_process_of_a_run(tmp_path):
    """Two ranks, their loaders' workers and W&B's service get SIGTERM, as at the end of a job; all of them end."""
    run = [
        *(
            "fit",
            "--config",
            CONF / "single.yaml",
            "--trainer.default_root_dir",
            tmp_path / "run",
            "--ckpt_path",
            "last",
        ),
        *("--trainer.devices", 2, "--trainer.strategy", "ddp", "--trainer.logger", "true", "--data.num_workers", 1),
    ]
    command = [sys.executable, "-m", "restore_lightning", *map(str, run), *WaitForSignal.words(2)]
    output = (tmp_path / "output").open("w+")
    process = subprocess.Popen(command, cwd=CONF.parents[1], stdout=output, stderr=output, start_new_session=True)
    try:
        waited("training", (tmp_path / "run/waiting").exists, 300, (tmp_path / "output").read_text)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=120)
        text = (tmp_path / "output").read_text()
        assert process.returncode == 128 + signal.SIGTERM, text
        assert "stopped by SIGTERM after step 3 of 4" in text
        assert "Traceback" not in text
        assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3
        waited("the end of all processes", lambda: not members(process.pid), 60, lambda: str(members(process.pid)))
    finally:
        if members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_second_sigterm_ends_what_makes_no_step():
    script = """
import os, signal
from restore_lightning.runs import signals
signals.PATIENCE = 0
with signals.receiving_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    print(signals.received_signal(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "15\n")


def test_a_due_validation_is_done_where_the_run_goes_on_with_other_saves(whole, tmp_path, restore):
    """The interval of saves is no part of the run."""
    run = words_of(tmp_path, 1)
    assert restore(*run, *KillAt.words(STEPS, "validation", signal.SIGUSR1))[0] == 138
    assert restore(*run, "--checkpoint.every_n_train_steps", 100)[0] == 0
    assert validations(tmp_path) == validations(whole(1))


@pytest.mark.slow
@pytest.mark.parametrize(("images", "stopped"), [(4, 2), (3, 3)])
def test_a_signal_within_a_validation_of_two_processes(images, stopped, photos, tmp_path):
    """At the second image of the first process, behind step 2; the other one has two images too, or one only."""
    for number in range(images):
        shutil.copy(photos / "a.png", tmp_path / f"{number}.png")
    run = ["--trainer.default_root_dir", tmp_path / "run", "--trainer.devices", 2, "--trainer.limit_val_batches", 1.0]
    run += ["--data.val_sets", f"{{own: {{clean: {tmp_path}, factor: rain}}}}"]
    command = [sys.executable, "-m", "restore_lightning", "fit", "--config", CONF / "single.yaml", *run]
    command += KillAt.words(2, "validation", signal.SIGUSR1)
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=CONF.parents[1], timeout=300, check=False
    )
    assert done.returncode == 128 + signal.SIGUSR1, done.stderr
    assert f"stopped by SIGUSR1 after step {stopped} of 4" in done.stderr
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == stopped


def test_an_ignored_signal_stays_ignored(whole, tmp_path, restore):
    """What the jobs do where Slurm may not requeue."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        assert restore(*words_of(tmp_path, 1), *KillAt.words(3, "step", signal.SIGUSR1))[0] == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert_same_weights(whole(1) / "checkpoints/last.ckpt", tmp_path / "checkpoints/last.ckpt")


@pytest.mark.slow
def test_a_run_folder_serves_one_process(tmp_path, restore, monkeypatch):
    hold = """
import sys
from pathlib import Path
from restore_lightning.runs.folder import lock_run_folder
held = lock_run_folder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"SLURM_JOB_ID": "17"},
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        code, _, err = restore(*words_of(tmp_path, 1))
        assert code == 2
        assert f"{tmp_path} is in use by job 17, process {holder.pid} on " in err
        assert "wait for its end or stop it, or choose another --trainer.default_root_dir" in err
        assert not (tmp_path / "checkpoints").exists()
        monkeypatch.setenv("SLURM_JOB_ID", "17")
        with pytest.raises(UserError, match="in use by job 17"):  # on this node
            lock_run_folder(tmp_path)
        monkeypatch.setattr(socket, "gethostname", lambda: "another-node")
        lock_run_folder(tmp_path).release()
        monkeypatch.undo()
        holder.stdin.close()
        holder.wait(timeout=60)
    lock_run_folder(tmp_path).release()
