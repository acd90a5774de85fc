"""Checkpoints: the best ones of a run that was moved, files that cannot be written, and damaged ones."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from restore_lightning.callbacks.checkpointing import AtomicCheckpointIO, moved
from restore_lightning.errors import UserError
from tests.conftest import CONF


def fit(restore, folder, *words):
    return restore("fit", "--config", CONF / "single.yaml", "--trainer.default_root_dir", folder, *words)


@pytest.mark.parametrize("how", ["absolute", "relative", "link", "moved", "copied"])
def test_the_best_is_remembered(how, restore, tmp_path, monkeypatch):
    """The learning rate explodes then, so that later networks are worse."""
    monkeypatch.chdir(tmp_path)
    schedule = ("torch.optim.lr_scheduler.MultiStepLR", "--model.lr_scheduler.milestones", "[4]")
    words = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", 1e-4, "--model.lr_scheduler", *schedule)
    words += ("--model.lr_scheduler.gamma", 1e4)
    top = {"monitor": "val/psnr", "mode": "max", "save_top_k": 2, "filename": "{step}", "dirpath": None}
    top = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": top}
    words += ("--trainer.callbacks", json.dumps([top]))
    first = tmp_path / "run" if how == "relative" else "run"
    code, _, err = fit(restore, first, *words)
    assert code == 0, err
    before = (tmp_path / "run/checkpoints/best.ckpt").read_bytes()
    folder = {"absolute": tmp_path / "run", "relative": "run", "link": "link", "moved": "other", "copied": "other"}[how]
    if how == "link":
        (tmp_path / "link").symlink_to("run")
    elif how == "moved":
        (tmp_path / "run").rename("other")
    elif how == "copied":
        shutil.copytree("run", "other")
    original = {path: path.read_bytes() for path in tmp_path.glob("run/checkpoints/*")} if how == "copied" else {}
    code, _, err = fit(restore, folder, *words, "--ckpt_path", "last", "--trainer.max_steps", 8)
    assert code == 0, err
    assert (tmp_path / folder / "checkpoints/best.ckpt").read_bytes() == before
    assert len(list((tmp_path / folder / "checkpoints").glob("step=*.ckpt"))) == 2
    assert {path: path.read_bytes() for path in original} == original


def test_files_that_are_not_there_are_forgotten(tmp_path):
    """As of a run that only began from the checkpoint of another one."""
    (tmp_path / "b.ckpt").touch()
    kept = {
        "dirpath": "there/checkpoints",
        "best_k_models": {"there/checkpoints/a.ckpt": 3.0, "there/checkpoints/b.ckpt": 2.0},
        "best_model_path": "there/checkpoints/a.ckpt",
        "kth_best_model_path": "there/checkpoints/b.ckpt",
        "best_model_score": 3.0,
    }
    here = str(tmp_path / "b.ckpt")
    found = moved(kept, str(tmp_path))
    assert found["best_k_models"] == {here: 2.0}
    assert (found["best_model_path"], found["kth_best_model_path"], found["dirpath"]) == ("", here, str(tmp_path))


@pytest.mark.parametrize("damage", ["empty", "cut", "pointer"])
def test_a_damaged_checkpoint_is_named_and_another_one_offered(damage, restore, tmp_path):
    assert fit(restore, tmp_path)[0] == 0
    last = tmp_path / "checkpoints/last.ckpt"
    whole = last.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    last.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "pointer": pointer}[damage])
    code, _, err = fit(restore, tmp_path, "--ckpt_path", "last", "--trainer.max_steps", 6)
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith("restore fit:")]
    assert f"checkpoint {last} cannot be read: " in line
    assert {"empty": "it is empty", "cut": "a damaged one", "pointer": "git lfs pull"}[damage] in line
    best = tmp_path / "checkpoints/best.ckpt"
    assert f"go on with --ckpt_path {best}, which is of step " in line
    assert fit(restore, tmp_path, "--ckpt_path", best, "--trainer.max_steps", 6)[0] == 0


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    """Files of this process can have 10 kB only, from now on."""
    script = """
import resource, signal, sys, torch
from restore_lightning.callbacks.checkpointing import AtomicCheckpointIO
from restore_lightning.errors import UserError
path, io = sys.argv[1], AtomicCheckpointIO()
io.save_checkpoint({"a": torch.zeros(10)}, path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
try:
    io.save_checkpoint({"a": torch.zeros(100_000)}, path)
except UserError as error:
    print(error.exit_code, error)
"""
    path = tmp_path / "last.ckpt"
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.startswith(f"1 {path} cannot be written: "), done.stderr
    assert "File too large; the one before is whole. Make room" in done.stdout
    assert torch.load(path, weights_only=True)["a"].numel() == 10
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"last\.ckpt cannot be written: File exists\. Make room"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "file/last.ckpt")
