"""Images that are scored: the same in every run, each once."""

import json
import subprocess
import sys

import pytest
import torch

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.evaluation_set import bundled_entries
from restore_lightning.degradations import Haze
from tests.conftest import CONF
from tests.data.conftest import rain_and_jpeg


def test_haze_is_tested_where_depth_was_measured():
    data = rain_and_jpeg(factors={"haze": FactorConfig()})
    data.setup("test")
    assert [image.name for image in data.test_sets[0].images] == [f"motorcycle-{draw}" for draw in range(1, 6)]
    depth = bundled_entries("test", Haze())[0].clean().depth
    assert 2 < depth.min() < depth.max() < 6  # metres
    first, second = data.test_sets[0][0], data.test_sets[0][1]
    assert not torch.equal(first["degraded"], second["degraded"])


def test_evaluation_images_are_the_same_in_every_run_whatever_the_seed():
    sets = []
    for seed in (0, 1):
        data = rain_and_jpeg(seed=seed)
        data.setup("validate")
        sets.append(data.val_sets)
    assert torch.equal(sets[0][0][1]["degraded"], sets[1][0][1]["degraded"])


@pytest.mark.slow
def test_two_processes_score_each_image_once(tmp_path, step_1):
    """Real processes, gloo: the scores of one."""
    scores = []
    for devices in (1, 2):
        run = tmp_path / str(devices)
        words = ["test", "--config", CONF / "tiny.yaml", "--ckpt_path", step_1, "--trainer.default_root_dir", run]
        words += ["--trainer.devices", devices, "--trainer.limit_test_batches", "1.0"]
        words += ["--trainer.strategy", "ddp" if devices == 2 else "auto"]
        subprocess.run([sys.executable, "-m", "restore_lightning", *map(str, words)], check=True, capture_output=True)
        scores.append(json.loads((run / "scores.json").read_text())["sets"])
    one, two = scores
    assert {name: entry["images"] for name, entry in one.items()} == {"rain": 3, "blur": 3, "jpeg": 3, "haze": 5}
    for name, entry in one.items():
        assert two[name]["images"] == entry["images"]
        for version in ("degraded", "restored"):
            assert two[name][version] == pytest.approx(entry[version], abs=1e-6)
