"""The learning rates of published schedules."""

import json
import math

import pytest
import torch

from restore_lightning.errors import UserError
from restore_lightning.learning_rates import WarmupCosine
from tests.conftest import CONF


def rates(peak, steps, **settings):
    """Of so many steps."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    schedule, found = WarmupCosine(optimizer, **settings), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("end", "last", "stops"), [(150, 2.65e-5, 120), (180, 1.80e-5, 150)])
def test_promptir_and_adair(end, last, stops):
    """Epochs 0 and 1 at 0, a rise to epoch 15, half a cosine from epoch 16 on."""
    found = rates(2e-4, stops, warmup=15, delay=1, end=end)
    expected = [0.0, 0.0] + [2e-4 * (epoch - 1) / 14 for epoch in range(2, 16)]
    expected += [1e-4 * (1 + math.cos(math.pi * (epoch - 16) / (end - 15))) for epoch in range(16, stops)]
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[15] == found[16] == 2e-4
    assert found[-1] == pytest.approx(last, abs=5e-8)


def test_moce_ir():
    found = rates(2e-4, 120, warmup=15, end=150)
    assert found[:15] == pytest.approx([2e-4 * epoch / 14 for epoch in range(15)], rel=1e-12)
    assert max(found) == found[14] == 2e-4
    assert found[-1] == pytest.approx(2.49e-5, abs=5e-8)


def test_restormer():
    """300k steps in thousands: constant for 92, then a cosine to 1e-6."""
    found = rates(3e-4, 305, constant=92, end=300, minimum=1e-6)
    assert set(found[:93]) == {3e-4}
    assert found[93] < 3e-4
    assert found[92 + 104] == pytest.approx((3e-4 + 1e-6) / 2, rel=1e-12)
    assert found[300:] == [1e-6] * 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"end": 10, "warmup": 4, "constant": 6}, "end 10: give more than warmup and constant together"),
        ({"end": 10, "warmup": -1}, "warmup -1: give at least 0"),
        ({"end": 10, "minimum": 1.0}, "minimum 1.0: give at most the optimiser's rate 0.0002"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(UserError, match=message):
        rates(2e-4, 1, **settings)


def test_a_config_names_it_and_a_run_goes_on_with_it(restore, tmp_path):
    schedule = {"class_path": "WarmupCosine", "init_args": {"warmup": 3, "end": 6}}
    words = ("fit", "--config", CONF / "single.yaml", "--model.lr_scheduler", json.dumps(schedule))
    words += ("--model.optimizer", "AdamW", "--model.optimizer.lr", 0.01, "--trainer.limit_val_batches", 0)
    states = []
    for run, stops in (("whole", (4,)), ("parts", (2, 4))):
        for steps in stops:
            where = ("--trainer.default_root_dir", tmp_path / run, "--trainer.max_steps", steps, "--ckpt_path", "last")
            code, _, err = restore(*words, *where)
            assert code == 0, err
        states.append(torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True))
    whole, parts = states
    assert whole["lr_schedulers"] == parts["lr_schedulers"]
    assert whole["lr_schedulers"][0]["_last_lr"] == pytest.approx([0.01 * (1 + math.cos(math.pi / 3)) / 2])
    assert all(torch.equal(tensor, parts["state_dict"][name]) for name, tensor in whole["state_dict"].items())
