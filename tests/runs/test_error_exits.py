"""Errors and Ctrl-C end a run within a bound, with its line and its exit code, and leave no process behind."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image
from skimage import data

from tests.conftest import CONF
from tests.killing import RaiseAt, members, waited


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Photographs of which one ends in the middle; that headers tell the size of all."""
    folder = tmp_path_factory.mktemp("damaged")
    for number in range(4):
        Image.fromarray(data.chelsea()[:64, :64]).save(folder / f"{number}.png")
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint to score."""
    from restore_lightning.cli import main

    folder = tmp_path_factory.mktemp("trained")
    words = ["fit", "--config", CONF / "single.yaml", "--trainer.default_root_dir", folder, "--trainer.max_steps", 1]
    assert main([str(word) for word in (*words, "--trainer.limit_val_batches", 0)]) == 0
    return folder / "checkpoints/last.ckpt"


@pytest.fixture
def ended(tmp_path):
    """Run the command in a group of processes of its own: exit code and output, once all of them have ended."""

    def run(verb, *words):
        command = [sys.executable, "-m", "restore_lightning", verb, "--config", CONF / "single.yaml", *words]
        command += ["--trainer.default_root_dir", tmp_path / "run"]
        with (tmp_path / "output").open("w+") as output:
            process = subprocess.Popen(
                list(map(str, command)),
                cwd=CONF.parents[1],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                process.wait(timeout=180)
                seen = (tmp_path / "output").read_text()
                waited("the end of all processes", lambda: not members(process.pid), 60, lambda: seen)
            finally:
                if members(process.pid):
                    os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, (tmp_path / "output").read_text()

    return run


TWO = ("--trainer.devices", 2, "--trainer.strategy", "ddp")


def failed(code, text):
    """Lightning looks every 5 s whether a child failed; the first process is killed then, if it still waits for it."""
    return code == 1 or (code == -signal.SIGKILL and "Forcefully terminating all other processes" in text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [("--data.num_workers", 1), ("--data.num_workers", 2), ("--data.num_workers", 1, *TWO)]
)
def test_a_damaged_photograph_in_training(more, damaged, ended):
    code, text = ended("fit", "--data.root", damaged, "--trainer.max_steps", 20, *more)
    assert failed(code, text), text
    assert "2.png cannot be read as an image" in text
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("fit", ("--data.num_workers", 1)),
        ("fit", ("--data.num_workers", 2, *TWO)),
        ("validate", ("--data.num_workers", 1)),
        ("test", ("--data.num_workers", 2)),
        ("test", ("--data.num_workers", 1, *TWO)),
    ],
)
def test_a_callback_that_fails(verb, more, trained, ended):
    """Of a user's own; with two processes the second one fails, while the first one waits for it."""
    checkpoint = () if verb == "fit" else ("--ckpt_path", trained)
    batches = ("--trainer.limit_val_batches", 2, "--trainer.limit_test_batches", 3)
    failing = RaiseAt.words(batch=0, rank=1 if TWO[0] in more else 0)
    code, text = ended(verb, *checkpoint, *batches, *more, *failing)
    assert failed(code, text), text
    assert f"restore {verb}: RuntimeError: a callback of mine (RESTORE_DEBUG=1 shows where)" in text
    others = text.count(f"restore {verb}: another process of this run ended, its own line says why")
    assert text.count(f"restore {verb}:") == 1 + others, text
    assert others <= (TWO[0] in more)
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["validate", "test"])
def test_an_interrupt_while_images_are_scored(verb, trained, ended):
    """Ctrl-C reaches the workers too."""
    batches = ("--trainer.limit_val_batches", 2, "--trainer.limit_test_batches", 3, "--data.num_workers", 2)
    code, text = ended(verb, "--ckpt_path", trained, *batches, *RaiseAt.words(batch=0, interrupt=True))
    assert code == 130, text
    assert "restore: interrupted" in text
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--data.num_workers", 2), ("--data.num_workers", 1, *TWO)])
def test_an_interrupt_of_training_saves(more, ended, tmp_path):
    """Ctrl-C reaches workers and all processes; training stops where the step ends."""
    code, text = ended("fit", *more, *RaiseAt.words(batch=2, interrupt=True))
    assert code == 130, text
    assert "stopped by SIGINT after step 3 of 4: go on with --ckpt_path last" in text
    assert text.count("stopping where this step ends") == 1
    assert "Traceback" not in text
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3
    assert (tmp_path / "run/.stopped").read_text() == "SIGINT\n"
