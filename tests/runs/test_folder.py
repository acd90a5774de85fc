"""A run's folder: what is made when, what keeps others from it, and runs that have nothing to go on from."""

import errno
import logging
import os
import pickle

import pytest

from restore_lightning.runs.folder import lock_run_folder
from tests.conftest import CONF

SINGLE = CONF / "single.yaml"


def test_without_locks_a_killed_run_does_not_block_the_next(tmp_path, caplog, monkeypatch):
    """It never released its folder; some network file systems have no locks."""

    def flock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", flock)
    monkeypatch.setattr(logging.getLogger("restore_lightning"), "propagate", True)
    told = f"the file system of {tmp_path} has no locks (Function not implemented): make sure that no other job writes"
    locks = []
    for _ in ("killed", "the next one"):
        caplog.clear()
        locks.append(lock_run_folder(tmp_path))
        assert told in caplog.text
    for lock in locks:
        lock.release()


@pytest.mark.parametrize(
    "words",
    [
        ("--data.root", "MISTYPED"),
        ("--data.factors.rain.clean", "MISTYPED"),
        ("--data.factors.rain.shards", "MISTYPED"),
        ("--data.val_sets", "{v: {clean: MISTYPED, factor: rain}}"),
        ("--data.crop_size", 100, "--data.root", "PHOTOGRAPHS"),
    ],
    ids=lambda words: words[0],
)
def test_nothing_is_made_for_data_that_are_not_there(words, photographs, restore, tmp_path):
    words = [str(word).replace("PHOTOGRAPHS", str(photographs)) for word in words]
    code, _, err = restore(
        "fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path / "run", "--trainer.logger", "true", *words
    )
    assert code in (1, 2), err
    assert not list(tmp_path.iterdir()), err


@pytest.mark.parametrize("verb", ["fit", "test"])
@pytest.mark.parametrize("content", [b"hello", b"", pickle.dumps(print)], ids=["text", "empty", "pickle"])
def test_a_file_that_is_no_checkpoint_is_refused_before_anything_is_made(verb, content, restore, tmp_path):
    (tmp_path / "weights.pth").write_bytes(content)
    words = ("--ckpt_path", tmp_path / "weights.pth", "--trainer.default_root_dir", tmp_path / "run")
    code, _, err = restore(verb, "--config", SINGLE, *words)
    assert code in (1, 2)
    assert "weights.pth" in err.splitlines()[-1]
    assert "weights_only" not in err
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_network_is_refused_and_leaves_no_folder(step_1, restore, tmp_path):
    """Lightning reads it once the folder is locked."""
    run = tmp_path / "runs/a"
    words = ("--ckpt_path", step_1, "--trainer.default_root_dir", run, "--trainer.logger", "true")
    code, _, err = restore("fit", "--config", SINGLE, *words)
    assert code != 0
    assert not list(tmp_path.iterdir()), err
    run.mkdir(parents=True)
    assert restore("fit", "--config", SINGLE, *words)[0] == code
    assert not list(run.iterdir())
    (run / "notes").touch()  # of the user, whose folder it is
    assert restore("fit", "--config", SINGLE, *words)[0] == code
    assert (run / "notes").exists()


def test_a_start_that_is_refused_leaves_the_signal_of_the_run_that_goes_on(restore, tmp_path):
    """By it the other one's job is requeued."""
    holder = lock_run_folder(tmp_path)
    (tmp_path / ".stopped").write_text("SIGUSR1\n")
    words = ("--trainer.default_root_dir", tmp_path, "--trainer.max_steps", 1)
    code, _, err = restore("fit", "--config", SINGLE, *words)
    assert code == 2, err
    assert "is in use by" in err
    assert (tmp_path / ".stopped").read_text() == "SIGUSR1\n"
    assert lock_files(tmp_path) == [".lock", ".lock.holder"]
    holder.release()
    assert restore("fit", "--config", SINGLE, *words)[0] == 0
    assert not (tmp_path / ".stopped").exists()


def lock_files(folder):
    return sorted(path.name for path in folder.glob(".lock*"))


def test_last_without_a_checkpoint_starts_anew_and_says_so(restore, tmp_path):
    """A job's first start gives it too, and is no failure; what an earlier start of it logged is replaced."""
    run = ("fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path, "--ckpt_path", "last")
    (tmp_path / "metrics.csv").write_text("step,val/psnr\r\n7,1.0\r\n")
    code, _, err = restore(*run)
    assert code == 0
    assert err.count("STARTING ANEW, from step 0: --ckpt_path last found no checkpoint in ") == 1
    assert not (tmp_path / "metrics.csv").exists()
    code, _, err = restore(*run)
    assert code == 0
    assert "STARTING ANEW" not in err


def test_last_without_a_checkpoint_does_not_replace_scores(restore, tmp_path):
    """Somebody removed the checkpoints of a run that is done."""
    (tmp_path / "scores.json").write_text("{}")
    run = ("fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path)
    code, _, err = restore(*run, "--ckpt_path", "last")
    assert code == 2
    assert "holds an earlier run (scores.json): it has no checkpoint to go on from; choose another" in err
    assert (tmp_path / "scores.json").read_text() == "{}"


def test_a_run_that_is_at_its_end_says_so(restore, tmp_path):
    words = ("fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path, "--trainer.limit_val_batches", 0)
    assert "nothing was left" not in restore(*words, "--trainer.max_steps", 2)[1]
    code, out, _ = restore(*words, "--trainer.max_steps", 1, "--ckpt_path", "last")
    assert code == 0
    assert "nothing was left to do: step 2 of 1; raise --trainer.max_steps" in out
