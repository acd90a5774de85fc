"""Packing: the same bytes however it is done, resumed, interrupted, refused."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from restore_lightning.data.shards.packing import pack
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.data.shards.samples import Member
from restore_lightning.errors import UserError
from tests.data.shards.conftest import line_of


def test_the_same_bytes_for_any_number_of_workers(root, packed, restore, tmp_path):
    words = ("shards", "pack", "pairs", root, tmp_path / "two", "--shard-size", 1, "--workers", 2)
    assert restore(*words)[0] == 0
    for path in packed.iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert len(list(packed.glob("train-*.tar"))) > 1


def test_the_manifest_says_where_each_image_comes_from(packed):
    _, *lines = [json.loads(line) for line in (packed / "manifest.jsonl").read_text().splitlines()]
    sources = {line["name"]: line["versions"]["degraded"]["source"] for line in lines}
    assert sources == {str(n): f"{'test' if n > 5 else 'train'}/degraded/{n}.png" for n in range(8)}


class Intruded(NamedTuple):
    """A sample during whose packing somebody else makes the folder OUT."""

    out: Path
    split: str = "train"
    name: str = "a"
    sequence: str = ""
    bytes: int = 1000

    def state(self):
        return "always the same"

    def members(self):
        self.out.mkdir()
        (self.out / "thesis.txt").write_text("years")
        return [Member("clean", np.zeros((8, 8, 3), np.uint8), (8, 8))]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_appears_meanwhile_is_not_replaced(overwrite, tmp_path):
    out = tmp_path / "set"
    for _ in range(2):
        with pytest.raises(UserError, match="exists already and is no data set of ours"):
            pack([Intruded(out)], out, {}, overwrite=overwrite)
        assert (out / "thesis.txt").read_text() == "years"
    shutil.rmtree(out)
    assert pack([Intruded(out)], out, {}).members == 1  # the finished shard was kept
    assert ShardSet(out).read(0).shape == (3, 8, 8)


def test_a_killed_pack_goes_on(root, packed, tmp_path):
    """SIGKILL after the first shard: finished shards are kept, not written again, and the set is the same."""
    out = tmp_path / "set"
    words = ["shards", "pack", "pairs", str(root), str(out), "--shard-size", "1", "--workers", "2"]
    work, start, kept = tmp_path / ".set.packing", time.monotonic(), {}
    while not kept:  # again where it was done before this process had its turn to kill it
        for folder in (out, work):
            shutil.rmtree(folder, ignore_errors=True)
        process = subprocess.Popen([sys.executable, "-m", "restore_lightning", *words], start_new_session=True)
        while not list(work.glob("*.json")) and process.poll() is None:
            assert time.monotonic() - start < 120
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        finished = [path for path in work.glob("*.tar") if path.with_suffix(".json").exists()]
        kept = {path.name: path.stat().st_mtime_ns for path in finished}
    assert not out.exists()
    subprocess.run([sys.executable, "-m", "restore_lightning", *words], check=True)
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    assert not work.exists()
    for path in packed.iterdir():
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name


def test_only_what_changed_is_written_again(root, restore, tmp_path):
    mine = shutil.copytree(root, tmp_path / "root")
    whole = (mine / "train/degraded/5.png").read_bytes()
    (mine / "train/degraded/5.png").write_bytes(whole[: len(whole) // 2])
    words = ("shards", "pack", "pairs", mine, tmp_path / "set", "--shard-size", 1, "--workers", 0)
    code, _, err = restore(*words)
    assert code == 1
    assert "1 images cannot be packed" in line_of(err)
    work = tmp_path / ".set.packing"
    kept = {path.stem: (work / f"{path.stem}.tar").stat().st_mtime_ns for path in work.glob("*.json")}
    assert kept.keys() == {"test-000000", "train-000000", "train-000001"}  # the third one is flawed
    (mine / "train/degraded/5.png").write_bytes(whole)
    assert restore(*words)[0] == 0
    assert {name: (tmp_path / f"set/{name}.tar").stat().st_mtime_ns for name in kept} == kept
    assert len(ShardSet(tmp_path / "set").rows("train", "degraded")) == 6


def test_two_packs_at_once(root, restore, tmp_path):
    """The second one is refused while the first holds the folder."""
    (tmp_path / ".set.packing").mkdir()
    script = f"""
import time
from filelock import FileLock
lock = FileLock({str(tmp_path / ".set.packing.lock")!r})
lock.acquire()
print("locked", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        code, _, err = restore("shards", "pack", "pairs", root, tmp_path / "set", "--workers", 0)
        other.kill()
    assert code == 1
    assert "another process is writing" in line_of(err)
    assert (tmp_path / ".set.packing.lock").exists()
    assert restore("shards", "pack", "pairs", root, tmp_path / "set", "--workers", 0)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks(number, root, restore, tmp_path, monkeypatch, caplog):
    """As some network file systems are; nobody else is blamed for it, and no file is left that would block the next."""

    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refused)
    (tmp_path / ".set.packing.lock").touch()  # of a process that was killed
    assert restore("shards", "pack", "pairs", root, tmp_path / "set", "--workers", 0)[0] == 0
    assert f"has no locks ({os.strerror(number)}): make sure that no other process packs there" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_is_full(workers, root, tmp_path):
    """A limit on the size of files is the kernel's refusal to write more."""
    out = tmp_path / "set"
    words = [sys.executable, "-m", "restore_lightning", "shards", "pack", "pairs", str(root), str(out)]
    limited = subprocess.run(
        [*words, "--workers", str(workers)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        check=False,
    )
    assert limited.returncode == 1
    told = line_of(limited.stderr)
    assert "train-000000.tar: File too large: " in told
    assert "mend this and give the same command again" in told
    assert not out.exists()
    left = [path.name for path in (tmp_path / ".set.packing").iterdir()]
    assert sorted(left) == ["test-000000.json", "test-000000.tar"]  # what fits
    subprocess.run([*words, "--workers", "0"], check=True)
    assert len(ShardSet(out).index.members) == 16


def test_a_disk_that_is_too_small(root, restore, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    code, _, err = restore("shards", "pack", "pairs", root, tmp_path / "set", "--workers", 0)
    assert code == 1
    assert "has 0.0 GB free" in line_of(err)
    assert list(tmp_path.iterdir()) == []


def test_a_set_is_replaced_only_when_asked_to(root, copy, restore):
    words = ("shards", "pack", "pairs", root, copy, "--split", "val", "--workers", 0)
    assert restore(*words)[0] == 2
    assert restore(*words, "--overwrite")[0] == 0
    assert ShardSet(copy).splits == ["val"]
    assert [path.name for path in copy.parent.iterdir()] == ["set"]
