"""Runs that an earlier version of the package wrote are gone on with and applied; see tests/old_runs/README.md."""

import csv
import io
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

OLD = Path(__file__).parents[1] / "old_runs"


@pytest.fixture(params=["mbn", "r_mbn", "drn"])
def old(request, tmp_path, monkeypatch):
    """A run of 2 steps in the current folder, where it was when it was written, and where its end is."""
    monkeypatch.chdir(tmp_path)
    source, run = OLD / request.param, Path(f"{request.param}_half")
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "metrics.csv"):
        shutil.copy(source / name, run)
    (run / "checkpoints/last.ckpt").write_bytes(lzma.decompress((source / "last.ckpt.xz").read_bytes()))
    return run, source


def rows(path):
    """What was logged, without the place: Lightning counts validations of a run that was extended one step later."""
    place = ("step", "epoch")
    with path.open(newline="") as file:
        table = list(csv.DictReader(file))
    return [{name: float(row[name]) for name in row if row[name] and name not in place} for row in table]


def test_it_goes_on_to_the_same_end(old, restore):
    """Another processor rounds otherwise: Adam then makes another step of a gradient that is nearly 0."""
    run, source = old
    before = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    words = ("--trainer.max_steps", 4, "--trainer.accelerator", "cpu", "--trainer.precision", "32-true")
    code, _, err = restore("fit", "--config", run / "config.yaml", "--ckpt_path", "last", *words)
    assert code == 0, err
    assert "resuming with" not in err
    last = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    expected = torch.load(io.BytesIO(lzma.decompress((source / "end.pt.xz").read_bytes())), weights_only=True)
    assert last["global_step"] == 4
    assert last["state_dict"].keys() == expected.keys()
    ours, theirs, start = (
        torch.cat([state[name].flatten() for name in expected]) for state in (last["state_dict"], expected, before)
    )
    assert ((ours - theirs).abs() < 1e-6).float().mean() > 0.99
    assert ((start - theirs).abs() < 1e-6).float().mean() < 0.9  # the steps would be seen
    assert [row.keys() for row in rows(run / "metrics.csv")] == [row.keys() for row in rows(source / "end.csv")]
    for mine, other in zip(rows(run / "metrics.csv"), rows(source / "end.csv"), strict=True):
        assert mine == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("old", ["drn"], indirect=True)
def test_it_goes_on_by_the_name_that_its_task_has_now(old, restore):
    config = old[0] / "config.yaml"
    config.write_text(config.read_text().replace("tasks.SingleFactorTask", "tasks.ImageToImageTask"))
    words = ("--trainer.max_steps", 3, "--trainer.accelerator", "cpu", "--trainer.precision", "32-true")
    code, _, err = restore("fit", "--config", config, "--ckpt_path", "last", *words)
    assert code == 0, err
    assert "resuming with other settings" not in err


def test_it_is_applied(old, restore):
    run, source = old
    Image.fromarray(astronaut()[:48, 100:148]).save("photo.png")
    factor = ("--factor", "haze") if source.name == "mbn" else ()
    code, _, err = restore("apply", run / "checkpoints/last.ckpt", "photo.png", "--output", "applied", *factor)
    assert code == 0, err
    ours, theirs = (np.array(Image.open(path)).astype(int) for path in ("applied/photo.png", source / "applied.png"))
    assert np.abs(ours - theirs).max() <= 1
