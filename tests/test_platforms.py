"""What Windows and macOS lack and do otherwise, as far as it can be tried on another system."""

import json
import pickle
import subprocess
import sys
from pathlib import PureWindowsPath

import numpy as np
import pytest
import torch
from PIL import Image

from restore_lightning.data.config import FactorConfig, is_url
from restore_lightning.data.module import RestorationData
from restore_lightning.data.shards import index
from restore_lightning.errors import UserError
from tests.conftest import CONF

LACKING = """
import os, signal, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None  # importing it is an ImportError
for name in ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGCHLD", "SIGPIPE"):
    delattr(signal, name)
for name in ("pread", "preadv", "sched_getaffinity", "sched_setaffinity", "getuid", "geteuid", "getpgid", "setsid",
             "killpg", "fchmod", "O_DIRECTORY", "O_NOFOLLOW", "mkfifo"):
    delattr(os, name)
import warnings
warnings.filterwarnings("error", category=EncodingWarning, module="restore_lightning")
from restore_lightning.cli import main
"""
"""Start of a script that runs the command as on Windows: without these names, and no text is UTF-8 unless told."""


def run_lacking(script: str, *words) -> subprocess.CompletedProcess[str]:
    """Run a script where POSIX's names are missing."""
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", LACKING + script, *map(str, words)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_every_module_without_posix():
    script = """
import pkgutil, restore_lightning
from importlib import import_module
names = [found.name for found in pkgutil.walk_packages(restore_lightning.__path__, "restore_lightning.")]
for name in names:
    if not name.endswith("__main__"):
        import_module(name)
print(len(names), "modules")
"""
    done = run_lacking(script)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 100


COMMAND = "sys.exit(main(sys.argv[1:]))"


def test_help_without_posix():
    done = run_lacking(COMMAND, "--help")
    assert done.returncode == 0, done.stderr
    assert "restore VERB ..." in done.stdout


@pytest.mark.slow
def test_score_apply_and_shards_without_posix(photographs, step_1, restore, tmp_path):
    """The files and numbers are those of a system that has everything."""
    here, there = tmp_path / "here", tmp_path / "there"
    assert restore("apply", step_1, photographs, "--factor", "rain", "--output", here)[0] == 0
    done = run_lacking(COMMAND, "apply", step_1, photographs, "--factor", "rain", "--output", there)
    assert done.returncode == 0, done.stderr
    for path in here.iterdir():
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(there / path.name)))
    words = ("score", there, photographs, "--protocol", "durn-y")
    _, out, _ = restore(*words)
    done = run_lacking(COMMAND, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == out

    script = """
photographs, folder, images = sys.argv[1:]
for verb in (("pack", "clean", photographs, folder), ("verify", folder)):
    assert main(["shards", *verb, "--workers", "0"]) == 0
from pathlib import Path
import torch
from restore_lightning.data.shards.reader import ShardSet
shards = ShardSet(Path(folder))
torch.save([shards.read(row) for row in range(2)], images)
"""
    done = run_lacking(script, photographs, tmp_path / "set", tmp_path / "read.pt")
    assert done.returncode == 0, done.stderr
    read = torch.load(tmp_path / "read.pt", weights_only=True)
    for image, path in zip(read, sorted(photographs.iterdir()), strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(Image.open(path)))


@pytest.mark.slow
def test_training_without_posix(tmp_path):
    run = ("--trainer.default_root_dir", tmp_path / "run", "--trainer.max_steps", 4)
    done = run_lacking(COMMAND, "fit", "--config", CONF / "tiny.yaml", *run)
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


SPAWN = """
import multiprocessing, sys
from restore_lightning.cli import main
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main(sys.argv[1:]))
"""
"""macOS and Windows start workers so: what they get is pickled."""


@pytest.mark.slow
def test_spawned_workers_train_and_score_as_none_do(restore, photos, tmp_path):
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN)
    one_set = json.dumps({"own": {"clean": str(photos), "factor": "rain"}})  # each starts a worker of its own
    words = ["fit", "--config", CONF / "tiny.yaml", "--data.root", photos, "--trainer.max_steps", 4]
    words += ["--data.val_sets", one_set]
    assert restore(*words, "--trainer.default_root_dir", tmp_path / "none", "--data.num_workers", 0)[0] == 0
    spawned = [*words, "--trainer.default_root_dir", tmp_path / "spawned", "--data.num_workers", 1]
    subprocess.run([sys.executable, script, *map(str, spawned)], check=True, timeout=300)
    none, one = (
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("none", "spawned")
    )
    assert none.keys() == one.keys()
    assert all(torch.equal(tensor, one[name]) for name, tensor in none.items())


def test_sets_that_spawned_workers_read():
    """Pickled, those of scikit-image's photographs have the same images."""
    module = RestorationData({factor: FactorConfig() for factor in ("rain", "blur", "jpeg", "haze")}, val_crop_size=64)
    for stage in ("validate", "test"):
        module.setup(stage)
    for scored in (*module.val_sets, *module.test_sets):
        assert torch.equal(pickle.loads(pickle.dumps(scored))[0]["degraded"], scored[0]["degraded"])


@pytest.mark.slow
def test_spawned_workers_pack_and_verify(restore, photos, tmp_path):
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN)
    pack = ("shards", "pack", "clean", photos)
    assert restore(*pack, tmp_path / "none", "--workers", 0)[0] == 0
    for words in ((*pack, tmp_path / "spawned", "--workers", 1), ("shards", "verify", tmp_path / "spawned")):
        subprocess.run([sys.executable, script, *map(str, words)], check=True, timeout=300)
    for path in (tmp_path / "none").iterdir():
        assert path.read_bytes() == (tmp_path / "spawned" / path.name).read_bytes()


@pytest.mark.parametrize("name", [r"C:\photos", "C:/photos", r"\\server\share\photos", r"photos\more", "D:photos"])
def test_a_windows_path_is_no_address(name):
    assert not is_url(name)
    assert not is_url(str(PureWindowsPath(name)))


@pytest.mark.parametrize("name", ["https://host/set", "s3://bucket/set", "file:///C:/set"])
def test_an_address_is_one(name):
    assert is_url(name)


@pytest.mark.parametrize("name", [r"..\..\evil", "C:/evil", r"C:\evil", r"\evil"])
def test_names_that_leave_their_folder_on_windows(name, photos, restore, tmp_path, monkeypatch):
    """Of a set that was packed elsewhere, where they are names like others."""
    assert PureWindowsPath("C:/out", name) != PureWindowsPath("C:/out") / name.replace("\\", "_").replace(":", "_")
    assert restore("shards", "pack", "clean", photos, tmp_path / "set", "--workers", 0)[0] == 0
    path = tmp_path / "set/index.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    names = arrays["names"].tobytes().split(b"\n")
    arrays["names"] = np.frombuffer(b"\n".join([name.encode(), *names[1:]]), np.uint8)
    np.savez(path, **arrays)
    index.read_index(path, "here")
    monkeypatch.setattr(index, "NO_NAME", index.NO_NAME_ON_WINDOWS)
    with pytest.raises(UserError, match="Windows"):
        index.read_index(path, "there")
