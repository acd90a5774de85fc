"""SIGTERM and SIGUSR1: training stops where a step ends, says so by its exit code, and can go on."""

import csv
import json
import signal
import subprocess
import sys

import pytest
import torch

from restore_lightning.cli import main
from tests.conftest import CONF
from tests.killing import KillAt, assert_same_weights

STEPS, EVERY = 8, 4


def words_of(run, accumulate):
    logger = {"class_path": "restore_lightning.loggers.MetricsCSV", "init_args": {"run": str(run)}}
    return [
        *("fit", "--config", CONF / "tiny.yaml", "--trainer.default_root_dir", run),
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


@pytest.mark.parametrize(("step", "moment"), [(4, "after validation"), (8, "after validation")])
def test_a_validation_that_was_not_saved_is_done_again(step, moment, whole, tmp_path, restore):
    """A kill between the validation and the next save: its row stands once in metrics.csv."""
    run = words_of(tmp_path, 1)
    killed = [*map(str, [*run, *KillAt.words(step, moment)])]
    command = [sys.executable, "-m", "restore_lightning", *killed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CONF.parents[1], timeout=600)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert restore(*run)[0] == 0
    assert rows(tmp_path) == rows(whole(1))
