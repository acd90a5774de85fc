"""A run that is killed at any moment and resumed ends with the weights of one that never was."""

import random
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.cli import main
from tests.conftest import CONF
from tests.killing import KillAt, assert_same_weights

STEPS = 12
SOURCES = """
data:
  num_workers: {workers}
  factors:
    rain: {{crop_size: 32, shards: {shards}, augment: [hflip, vflip]}}
    blur: {{scenes: true, minibatches: 2}}
    jpeg: {{clean: {photos}}}
    haze: {{shards: {shards}, augment: [hflip, vflip, rot90], protocol: mbn-rgb}}
"""


def run_to_end(words, kill=()):
    """Run a command to its end here, or until it is killed in a process of its own."""
    if not kill:
        assert main([str(word) for word in words]) == 0
        return
    command = [sys.executable, "-m", "restore_lightning", *map(str, words), *KillAt.words(*kill)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CONF.parents[1], check=False)
    assert done.returncode == -9, (kill, done.stderr)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Pairs of real photographs."""
    root = tmp_path_factory.mktemp("pairs")
    for number, image in enumerate((data.coffee(), data.chelsea(), data.astronaut(), data.rocket())):
        for kind, values in (("clean", image[:150, :200]), ("degraded", np.clip(image[:150, :200] + 20, 20, 255))):
            (root / "root" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(root / f"root/{kind}/{number}.png")
    assert main(["shards", "pack", "pairs", str(root / "root"), str(root / "set"), "--workers", "0"]) == 0
    return root / "set"


@pytest.fixture(scope="module")
def fit(shards, photos, tmp_path_factory):
    """Run `restore fit`, in a process of its own where it is killed; its last checkpoint."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name, workers, accumulate, kill=()):
        sources = folder / f"{workers}.yaml"
        sources.write_text(SOURCES.format(workers=workers, shards=shards, photos=photos))
        words = ["fit", "--config", CONF / "tiny.yaml", "--config", sources, "--ckpt_path", "last"]
        words += ["--trainer.max_steps", STEPS, "--trainer.accumulate_grad_batches", accumulate]
        words += ["--trainer.default_root_dir", folder / name, "--trainer.val_check_interval", 4 * accumulate]
        run_to_end(words, kill)
        return folder / name / "checkpoints/last.ckpt"

    return run


@pytest.fixture(scope="module")
def whole(fit):
    """Runs that nobody killed, by their accumulation."""

    @cache
    def run(accumulate):
        return fit(f"whole-{accumulate}", 0, accumulate)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (2, 1), (2, 2)])
def test_killed_runs_end_with_the_same_weights(workers, accumulate, whole, fit):
    """Before, inside and after validation, while a checkpoint is saved, and between steps; steps drawn by a seed."""
    draw = random.Random(10 * workers + accumulate)
    kills = [
        (draw.randrange(1, 4), "step"),
        (draw.randrange(4, 6), "validation"),
        (draw.randrange(4, 8), "after validation"),
        (draw.randrange(5, 9), "save"),
        (draw.randrange(9, 12), "step"),
    ]
    name = f"killed-{workers}-{accumulate}"
    for kill in kills:
        fit(name, workers, accumulate, kill)
    path = fit(name, workers, accumulate)
    assert torch.load(path, weights_only=True)["global_step"] == STEPS
    assert_same_weights(whole(accumulate), path)


@pytest.mark.slow
def test_a_killed_run_of_mixed_batches_ends_with_the_same_weights(photos, tmp_path):
    """In both of its phases, where a cycle ends within a batch."""
    sources = tmp_path / "sources.yaml"
    factors = f"rain: {{copies: 2, clean: {photos}}}, blur: {{scenes: true, samples_per_cycle: 3}}"
    sources.write_text(f"data: {{num_workers: 2, factors: {{{factors}}}}}")

    def run(name, *kill):
        words = ["fit", "--config", CONF / "mixed.yaml", "--config", sources, "--ckpt_path", "last"]
        run_to_end([*words, "--trainer.default_root_dir", tmp_path / name], kill)
        return tmp_path / name / "checkpoints/last.ckpt"

    for kill in ((3, "validation"), (5, "step")):
        run("killed", *kill)
    assert_same_weights(run("whole"), run("killed"))
