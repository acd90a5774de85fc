"""A run does not go on from a checkpoint of another config."""

import json

import pytest

from restore_lightning.runs.resume import flatten_config
from tests.conftest import CONF

SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
FACTORS = "{rain: {crop_size: 32}, blur: {minibatches: 2}, jpeg: {}, haze: {}}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--model.optimizer", json.dumps(SGD)), "model.init_args.optimizer was restore_lightning.tasks.base.adam"),
        (("--model.lr_scheduler_every", 2), "model.init_args.lr_scheduler_every was 1, is 2"),
        (("--seed_everything", 5), "the run was trained with seed_everything 0, now it is 5"),
        (("--data.factors", FACTORS), "minibatches per cycle {'rain': 1, 'blur': 1, 'jpeg': 1, 'haze': 1}, now it is"),
        (("--model.network.width", 4), "the checkpoint is of another network than the config's"),
    ],
)
def test_what_a_checkpoint_holds_the_state_of(words, expected, restore, step_1, tmp_path):
    run = ("--trainer.default_root_dir", tmp_path, "--ckpt_path", step_1)
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *run, *words)
    (line,) = [line for line in err.splitlines() if line.startswith("restore fit:")]
    assert code == 2
    assert expected in line
    assert "config.yaml" in line
    assert not list(tmp_path.glob("**/*.ckpt"))


def test_a_checkpoint_of_another_task(restore, step_2, tmp_path):
    run = ("--trainer.default_root_dir", tmp_path, "--ckpt_path", step_2)
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *run)
    assert code == 2
    assert "model.class_path was restore_lightning.tasks.RecurrentTask, is restore_lightning.tasks.Multi" in err


def test_what_may_change(restore, step_1, tmp_path):
    """Steps and processes that prepare data silently, weights of the loss and augmentation with a warning."""
    free = ("--trainer.max_steps", 9, "--data.num_workers", 1, "--trainer.limit_val_batches", 0)
    told = ("--model.ssim_weight", 2.0, "--data.factors.rain.augment", "[vflip]")
    run = ("--trainer.default_root_dir", tmp_path, "--ckpt_path", step_1)
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *run, *free, *told)
    assert code == 0, err
    assert {line for line in err.splitlines() if line.startswith("resuming with")} == {
        "resuming with other data: augment of rain was ['hflip'], is ['vflip']",
        "resuming with other settings: model.init_args.ssim_weight was 1.1, is 2.0",
    }


def test_places_are_not_compared():
    config = {"data": {"root": "/a", "factors": {"rain": {"clean": "/b", "minibatches": 2}}}, "seed_everything": 3}
    assert flatten_config(config) == {"data.factors.rain.minibatches": 2, "seed_everything": 3}
