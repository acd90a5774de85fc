"""A full disk, a limit, or a read-only folder: the file is named in one line, and what was there before is whole."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from restore_lightning.errors import UserError
from restore_lightning.io.files import append_text, write_text
from restore_lightning.io.images import write_image
from restore_lightning.runs.loggers import MetricsCSV
from restore_lightning.weights import write_bundle
from tests.conftest import CONF, fitted


@contextmanager
def mounted(folder, *options):
    """A file system on a folder, where this user may mount one."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small(tmp_path):
    """A file system of 1 MiB."""
    if sys.platform != "linux":
        pytest.skip("mounts Linux's tmpfs")
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=1M", "tmpfs") as folder:
        yield folder


def fill(folder, leave=0):
    """Use up what is free, but for some pages."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(file.tell() - 4096 * leave)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return fitted(CONF / "single.yaml", tmp_path_factory.mktemp("trained")).parents[1]


WRITERS = {
    "text": lambda path: write_text(path, "x" * 20_000),
    "picture": lambda path: write_image(torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8), path),
    "metrics.csv": lambda path: MetricsCSV(path.parent).log_metrics({"a": 1.0}, 3),
    "lines": lambda path: append_text(path, "x" * 20_000),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_what_was_there(kind, small):
    """The error names the file; there is nothing else beside it."""
    path = small / {"picture": "x.png", "metrics.csv": "metrics.csv"}.get(kind, "x.txt")
    path.write_bytes(b"step,a\r\n")
    if kind == "metrics.csv":
        path.write_bytes(b"step,a\r\n".ljust(4096, b"\n"))
    before = path.read_bytes()
    fill(small)
    with pytest.raises(Exception, match=r"No space left on device") as error:
        WRITERS[kind](path)
    assert str(path) in str(error.value)
    assert path.read_bytes() == before
    assert {found.name for found in small.iterdir()} == {path.name, "filler"}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_read_only_folder(kind, small, tmp_path):
    path = small / {"picture": "x.png", "metrics.csv": "metrics.csv"}.get(kind, "x.txt")
    path.write_bytes(b"step,a\r\n")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(Exception, match=r"Read-only file system") as error:
        WRITERS[kind](path)
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"step,a\r\n"


def test_a_bundle(small):
    """Whichever of its files there is no room for: one error, and the bundle of before."""
    about = {"network": {"class_path": "a.B"}, "factors": ["rain"], "parameters": 1, "colour": "rgb", "scores": None}
    write_bundle(small, {"a": torch.zeros(3)}, about)
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    for leave, name, kinds in (
        (1, "model.safetensors", UserError),
        (4, "README.md", OSError),
        (5, "config.json", OSError),
    ):
        fill(small, leave)
        with pytest.raises(kinds, match=r"No space left on device") as error:
            write_bundle(small, {"a": torch.ones(4000)}, about | {"step": 3})
        assert str(small / name) in str(error.value)
        assert getattr(error.value, "exit_code", 1) == 1
        (small / "filler").unlink()
        assert {path.name: path.read_bytes() for path in small.iterdir()} == before


LIMITED = """
import resource, signal, sys
from restore_lightning.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for line in sys.argv[1:]:
    limit, *words = line.split("\\t")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    print("code", main(words), flush=True)
"""
"""Runs command lines, each with the size that its files may have."""


@pytest.mark.slow
def test_commands_whose_files_grow_too_large(trained, tmp_path):
    """Each kind of file of a run, in turn; those from before are as they were."""
    pytest.importorskip("resource")
    config = ("--config", CONF / "single.yaml", "--trainer.default_root_dir")
    lines = [
        (500, "fit", *config, tmp_path / "a"),
        (9000, "fit", *config, tmp_path / "b", "--checkpoint.every_n_train_steps", 1),
        (300, "test", *config, trained),
        (20_000, "test", *config, trained),
    ]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *("\t".join(map(str, line)) for line in lines)],
        capture_output=True, text=True, timeout=300, check=False, cwd=CONF.parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if line.startswith("restore ")]
    assert done.stdout.count("code 1") == len(lines), done.stdout + done.stderr
    for line, name in zip(
        told,
        [
            "a/config.yaml: File too large",
            "b/checkpoints/last.ckpt cannot be written: File too large. Make room",
            "scores.json: File too large",
            "report/index.html: File too large",
        ],
        strict=True,
    ):
        assert name in line, told
    assert "Traceback" not in done.stderr
