"""Images that are scored: the same in every run, each once."""

import json
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.evaluation_set import bundled_entries, evaluation_loader
from restore_lightning.degradations import Haze
from restore_lightning.io.pixel_windows import whole_multiple
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


def equal(one, other):
    """Of two samples or batches."""
    return all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def every_kind_of_set(sets, photos, folders):
    """Bundled photographs, a folder, pairs of files, packed pairs, packed clean images."""
    given = {
        "photos": EvaluationConfig(clean=str(photos), factor="jpeg"),
        "files": EvaluationConfig(clean=str(folders / "clean"), degraded=str(folders / "dark"), factor="rain"),
        "pairs": EvaluationConfig(shards=str(sets / "pairs"), factor="rain"),
        "clean": EvaluationConfig(shards=str(sets / "photos"), split="val", factor="rain"),
    }
    bundled, own = rain_and_jpeg(num_workers=2), rain_and_jpeg(test_sets=given, num_workers=2)
    bundled.setup("test")
    own.setup("test")
    return bundled.test_sets + own.test_sets


def test_workers_change_neither_images_nor_their_order(sets, photos, folders):
    for scored in every_kind_of_set(sets, photos, folders):
        alone, by_workers = (list(evaluation_loader(scored, None, workers)) for workers in (0, 2))
        assert [batch["number"] for batch in by_workers] == list(range(len(scored)))
        assert all(equal(*batches) for batches in zip(alone, by_workers, strict=True))


def test_workers_that_are_not_forked_get_the_same_images(sets, photos, folders):
    """They get a set pickled, as on macOS, on Windows and from Python 3.14 on."""
    for scored in every_kind_of_set(sets, photos, folders):
        assert equal(scored[0], pickle.loads(pickle.dumps(scored))[0])


def test_an_image_that_a_worker_cannot_read_is_one_line(restore, step_1, photos, tmp_path):
    """It was there when the run began; the header is whole."""
    shutil.copytree(photos, tmp_path / "val")
    broken = next((tmp_path / "val").glob("*.png"))
    broken.write_bytes(broken.read_bytes()[:2000])
    words = ["validate", "--config", CONF / "tiny.yaml", "--ckpt_path", step_1]
    words += ["--trainer.default_root_dir", tmp_path / "run"]
    sets = json.dumps({"x": {"clean": str(tmp_path / "val"), "factor": "rain"}})
    words += ["--data.val_sets", sets, "--trainer.limit_val_batches", "1.0", "--data.val_crop_size", "null"]
    for workers in (0, 2):
        code, _, err = restore(*words, "--data.num_workers", workers)
        assert code == 1, err
        assert re.search(rf"^restore validate: .*{broken.name}.*$", err, re.MULTILINE)
        assert "Traceback" not in err


@pytest.mark.slow
def test_two_processes_score_each_image_once(tmp_path, step_1, photos, photographs, restore):
    """Real processes, gloo: the scores of one, of sets that do not divide, the smallest of them with one image."""
    (tmp_path / "one").mkdir()
    shutil.copy(photographs / "cat.png", tmp_path / "one")
    folders = {"rain": photos, "haze": photographs, "blur": tmp_path / "one"}
    sets = json.dumps({factor: {"clean": str(folder), "factor": factor} for factor, folder in folders.items()})
    words = ["test", "--config", CONF / "tiny.yaml", "--ckpt_path", step_1, "--data.test_sets", sets]
    words += ["--trainer.limit_test_batches", "1.0", "--trainer.default_root_dir"]
    code, _, err = restore(*words, tmp_path / "1")
    assert code == 0, err
    other = [*words, tmp_path / "2", "--trainer.devices", 2, "--trainer.strategy", "ddp"]
    subprocess.run([sys.executable, "-m", "restore_lightning", *map(str, other)], check=True, capture_output=True)
    one, two = (json.loads((tmp_path / run / "scores.json").read_text())["sets"] for run in ("1", "2"))
    assert {name: entry["images"] for name, entry in one.items()} == {"rain": 3, "haze": 2, "blur": 1}
    for name, entry in one.items():
        assert two[name]["images"] == entry["images"]
        for version in ("degraded", "restored"):
            assert two[name][version] == pytest.approx(entry[version], abs=1e-6)


def test_the_centre_that_is_a_multiple(tmp_path):
    """413x550, as SOTS outdoor: 400x544 from (6, 3); 600 wide, as LOL: 592 from 4."""
    rows, columns = np.arange(413)[:, None] % 251, np.arange(550)[None] % 241
    image = np.stack(np.broadcast_arrays(rows, columns, 7), axis=2).astype(np.uint8)
    for folder in ("clean", "hazy"):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "a.png")
    clean, hazy = str(tmp_path / "clean"), str(tmp_path / "hazy")
    centre = {"multiple": 16, "keep": "centre", "factor": "rain"}
    given = {
        "pairs": EvaluationConfig(clean=clean, degraded=hazy, **centre),
        "made": EvaluationConfig(clean=clean, **centre),
        "corner": EvaluationConfig(clean=clean, degraded=hazy, multiple=16, factor="rain"),
    }
    data = rain_and_jpeg(test_sets=given)
    data.setup("test")
    for scored, (top, left) in zip(data.test_sets, ((6, 3), (6, 3), (0, 0)), strict=True):
        sample = scored[0]
        assert sample["clean"].shape == sample["degraded"].shape == (3, 400, 544)
        assert sample["clean"][:2, 0, 0].tolist() == [top, left]
    assert whole_multiple(torch.zeros(3, 400, 600), 16, "centre") == (0, 4, 400, 592)
