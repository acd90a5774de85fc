"""What is logged of the losses: means of processes and minibatches, of which single ones may not be finite."""

import csv
import json
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy

from restore_lightning.networks import MBN
from restore_lightning.tasks import MultiBranchTask
from restore_lightning.tasks.mean_losses import MeanLosses
from tests.conftest import CONF
from tests.killing import added
from tests.tasks.test_kernels import FLOAT16

PROCESS = SingleDeviceStrategy("cpu")


def test_means_by_factor():
    losses = MeanLosses()
    assert losses.of_all_processes(PROCESS) == {}
    for factor, loss in (("rain", 1.0), ("haze", 5.0), ("rain", 2.5)):
        losses.add(factor, torch.tensor(loss), 0)
    assert losses.of_all_processes(PROCESS) == {"rain": 1.75, "haze": 5.0}


@pytest.mark.parametrize("odd", [math.nan, math.inf])
@pytest.mark.parametrize("first", [False, True])
def test_a_minibatch_that_is_not_finite_is_no_part_of_the_running_mean(odd, first):
    network = MBN(width=2, stem=[(3, 3, 1)], extra=[(3, 3, 1)] * 3, iterations=1, init="scaled")
    task = MultiBranchTask(network)
    task.log = lambda *_, **__: None  # needs a Trainer
    image = torch.rand(1, 3, 32, 32)
    for number in range(4):
        clean = image * (odd if number == (0 if first else 2) else 1)
        task.training_step({"factor": "rain", "factors": [("rain",)], "degraded": image, "clean": clean}, number)
    assert math.isfinite(task.running_losses.means["rain"])


class Overflow(Callback):
    """The images of one step are too large for float16."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 1:
            batch["degraded"].mul_(1e30)


@pytest.mark.slow
def test_a_step_that_a_scaler_leaves_out(restore, tmp_path):
    """Its row of the log says so, the next ones and the running mean go on."""
    words = ("--trainer.plugins", json.dumps([FLOAT16]), *added(Overflow), "--trainer.log_every_n_steps", 1)
    words += ("--trainer.limit_val_batches", 0, "--trainer.logger", "true", "--trainer.default_root_dir", tmp_path)
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *words)
    assert code == 0, err
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [float(loss) for row in rows for name, loss in row.items() if name.startswith("train/") and loss]
    assert [math.isfinite(loss) for loss in found] == [number != 1 for number in range(8)]
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert len(last["running_losses"]) == 4
    assert all(map(math.isfinite, last["running_losses"].values()))
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())


def test_a_run_without_a_log_keeps_two_numbers_of_a_factor():
    """Its sum, and where it was not finite first."""
    losses = MeanLosses()
    for _ in range(100):
        losses.add("rain", torch.ones(()), 0)
    parts = [part for part in vars(losses).values() if isinstance(part, dict)]
    kept = [value for part in parts for value in part.values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.numel() for tensor in kept) == 2
