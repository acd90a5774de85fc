"""Shards: windows without decoding, damage, resumed and interrupted packing, a million members."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.shards.index import INDEX, MEMBER, SAMPLE, Index, Shard, read_index
from restore_lightning.data.shards.packing import pack
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.data.shards.samples import Member
from restore_lightning.errors import UserError
from restore_lightning.io.views import View
from restore_lightning.io.windows import Window


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Eight pairs of real photographs of 300x200, the degraded ones inverted; two for test."""
    folder = tmp_path_factory.mktemp("pairs")
    for number, image in enumerate((data.coffee, data.chelsea, data.astronaut, data.rocket) * 2):
        pixels = image()[10 * number : 10 * number + 200, number : number + 300]
        split = "test" if number > 5 else "train"
        for kind, values in (("clean", pixels), ("degraded", 255 - pixels)):
            path = folder / split / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    return folder


@pytest.fixture(scope="module")
def packed(root, tmp_path_factory):
    """The pairs in shards of 1 MiB."""
    from restore_lightning.cli import main

    out = tmp_path_factory.mktemp("packed") / "set"
    assert main(["shards", "pack", "pairs", str(root), str(out), "--shard-size", "1", "--workers", "0"]) == 0
    return out


@pytest.fixture
def copy(packed, tmp_path):
    """A copy to damage."""
    return shutil.copytree(packed, tmp_path / "set")


def line_of(err):
    (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
    assert "Traceback" not in err
    return line


def test_a_window_is_the_files_pixels(root, packed):
    shards = ShardSet(packed)
    rng = np.random.default_rng(0)
    for row in shards.rows("train", "degraded").tolist():
        name = shards.name(row)
        images = [np.asarray(Image.open(root / f"train/{kind}/{name}.png")) for kind in ("degraded", "clean")]
        top, left, h, w = (int(rng.integers(low, high)) for low, high in ((0, 100), (0, 150), (1, 100), (1, 150)))
        for number, image in zip((row, shards.clean_of(row)), images, strict=True):
            part = shards.read(number, Window(top, left, h, w)).permute(1, 2, 0).numpy()
            assert np.array_equal(part, image[top : top + h, left : left + w])
            assert np.array_equal(shards.read(number).permute(1, 2, 0).numpy(), image)


def test_a_crop_reads_its_rows_and_nothing_else(packed, monkeypatch):
    shards, read = ShardSet(packed), []

    def counted(descriptor, buffers, offset, real=os.preadv):
        read.append(sum(len(buffer) for buffer in buffers))
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", counted)
    shards.read(0, Window(20, 30, 40, 50))
    assert read == [39 * 300 * 3 + 50 * 3]


def test_images_stay_what_they_are_when_others_are_read(packed):
    shards = ShardSet(packed)
    first = shards.read(0)
    before = first.clone()
    for row in range(1, 6):
        shards.read(row)
    assert torch.equal(first, before)


def test_forked_and_spawned_processes_read_alike(packed):
    shards = ShardSet(packed)
    expected = shards.read(3)  # the shard is open
    again = pickle.loads(pickle.dumps(shards))
    assert torch.equal(again.read(3), expected)
    for method in ("fork", "spawn"):
        with torch.multiprocessing.get_context(method).Pool(2) as pool:
            assert all(torch.equal(image, expected) for image in pool.map(shards.read, [3] * 8))


def test_the_same_bytes_for_any_number_of_workers(root, packed, restore, tmp_path):
    words = ("shards", "pack", "pairs", root, tmp_path / "two", "--shard-size", 1, "--workers", 2)
    assert restore(*words)[0] == 0
    for path in packed.iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert len(list(packed.glob("train-*.tar"))) > 1


def test_info_says_what_is_there(packed, restore):
    code, printed, _ = restore("shards", "info", packed)
    assert code == 0
    assert "layout: pairs" in printed
    assert "8 samples, 16 images" in printed
    assert "train: 6 clean, 6 degraded; clean images 300x200" in printed
    assert "test: 2 clean, 2 degraded; clean images 300x200" in printed


def test_the_manifest_says_where_each_image_comes_from(packed):
    _, *lines = [json.loads(line) for line in (packed / "manifest.jsonl").read_text().splitlines()]
    sources = {line["name"]: line["versions"]["degraded"]["source"] for line in lines}
    assert sources == {str(n): f"{'test' if n > 5 else 'train'}/degraded/{n}.png" for n in range(8)}


def verified(restore, folder):
    code, _, err = restore("shards", "verify", folder, "--workers", 0)
    return code, err


def test_flipped_bytes_are_found(copy, restore):
    path = copy / "train-000001.tar"
    content = bytearray(path.read_bytes())
    content[300_000] ^= 1
    path.write_bytes(content)
    code, err = verified(restore, copy)
    assert code == 1
    assert "train-000001.tar: " in err
    assert "is damaged: its checksum differs from the index's" in err
    assert "1 problems; pack the data again" in line_of(err)
    content[300_000] ^= 1
    for place in (5000, 345_000, len(content) - 1):  # in an image, a header, the padding at the end
        content[place] ^= 1
        path.write_bytes(content)
        assert verified(restore, copy)[0] == 1
        content[place] ^= 1
    path.write_bytes(content)
    assert verified(restore, copy)[0] == 0
    (copy / "manifest.jsonl").write_text("{}")
    assert "manifest.jsonl differs" in verified(restore, copy)[1]


@pytest.mark.parametrize("damage", ["truncated", "removed", "emptied", "exchanged"])
def test_shards_that_are_not_the_indexs(damage, copy, restore):
    path = copy / "train-000001.tar"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-70_000])
    elif damage == "removed":
        path.unlink()
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        shutil.copy(copy / "train-000000.tar", path)
    code, err = verified(restore, copy)
    assert code == 1
    assert "train-000001.tar" in line_of(err)
    assert ("are missing" if damage == "removed" else "are damaged or not those of index.npz") in line_of(err)
    run = ("--trainer.default_root_dir", copy.parent / "run")
    code, _, err = restore("fit", "--config", "durn_blur.yaml", "--data.factors.blur.shards", copy, *run)
    assert code == 1
    assert "train-000001.tar" in line_of(err)


def test_an_index_of_other_shards(copy, root, restore, tmp_path):
    """Of the same names and sizes: the images are turned by 180 degrees."""
    for path in root.rglob("*.png"):
        turned = tmp_path / "turned" / path.relative_to(root)
        turned.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).rotate(180).save(turned)
    words = ("pairs", tmp_path / "turned", tmp_path / "other", "--shard-size", 1, "--workers", 0)
    assert restore("shards", "pack", *words)[0] == 0
    shutil.copy(tmp_path / "other" / INDEX, copy / INDEX)
    with pytest.raises(UserError, match="begins otherwise than the index says"):
        ShardSet(copy)


def test_indices_that_cannot_be_read(copy):
    content = (copy / INDEX).read_bytes()
    for damaged in (b"", b"text", content[:-100], content[:2000] + b"x" + content[2001:]):
        (copy / INDEX).write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be read as an index of shards"):
            ShardSet(copy)
    (copy / INDEX).unlink()
    with pytest.raises(UserError, match=r"has no index\.npz"):
        ShardSet(copy)
    with pytest.raises(UserError, match="is no folder"):
        ShardSet(copy / "nowhere")


def changed(index, **changes):
    """An index with some numbers changed."""
    members, samples = index.members.copy(), index.samples.copy()
    for key, value in changes.pop("member", {}).items():
        members[key][1] = value
    if "sample" in changes:
        samples["split"][0] = changes.pop("sample")
    fields = {name: getattr(index, name) for name in index.__dataclass_fields__}
    return Index(**fields | {"members": members, "samples": samples} | changes)


def names(text):
    return np.frombuffer(text.encode(), dtype=np.uint8)


EIGHT = "a\nb\nc\nd\ne\nf\ng\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"member": {"offset": 2**60}}, "a member ends after its shard"),
        ({"member": {"bytes": 2**64 - 1}}, "a member ends after its shard"),
        ({"member": {"height": 2**31}}, "an image is larger than its member"),
        ({"member": {"height": 2**32 - 1, "width": 2**32 - 1}}, "an image is larger than its member"),
        ({"member": {"width": 0}}, "an image has no pixels"),
        ({"member": {"shard": 99}}, "a number points outside its table"),
        ({"member": {"dtype": 9}}, "a number points outside its table"),
        ({"member": {"sample": 5}}, "members are not in the order of their samples"),
        ({"sample": 7}, "a number points outside its table"),
        ({"shards": [Shard("../x-000000.tar", 2**40, 0, 0)] * 9}, "is no name of a shard"),
        ({"shards": [Shard("/x-000000.tar", 2**40, 0, 0)] * 9}, "is no name of a shard"),
        ({"versions": ["clean", "../x"]}, "is no name of a version"),
        ({"names": names("../h\n" + EIGHT)}, "a name leads out of its folder"),
        ({"names": names("/h\n" + EIGHT)}, "a name leads out of its folder"),
        ({"names": names("h/..\n" + EIGHT)}, "a name leads out of its folder"),
        ({"names": names("\n" + EIGHT)}, "a name leads out of its folder"),
        ({"names": names("h\x1b[2J\n" + EIGHT)}, "a name holds control characters"),
        ({"names": names("h\n" + EIGHT)[::-1]}, "it does not have a name for each sample"),
        ({"versions": ["degraded", "clean"]}, "a sample does not begin with its clean image"),
        ({"names": names(EIGHT)}, "it does not have a name for each sample"),
    ],
)
def test_indices_that_we_did_not_write(changes, message, packed, tmp_path):
    changed(read_index(packed / INDEX, "index"), **changes).write(tmp_path / INDEX)
    with pytest.raises(UserError, match=message):
        read_index(tmp_path / INDEX, "index")


@pytest.mark.parametrize("kind", ["above", "absolute", "link", "symlink", "foreign"])
def test_members_that_do_not_belong_in_a_shard(kind, copy, restore):
    """Nothing is ever extracted; verify names them."""
    index = read_index(copy / INDEX, "index")
    path = copy / index.shards[0].name
    name = {"above": "../../evil.clean.npy", "absolute": "/etc/evil.clean.npy"}.get(kind, "evil.clean.npy")
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(name)
        member.type = {"link": tarfile.LNKTYPE, "symlink": tarfile.SYMTYPE}.get(kind, tarfile.REGTYPE)
        member.linkname = "/etc/passwd" if "link" in kind else ""
        member.size = 0 if "link" in kind else 4
        tar.addfile(member, BytesIO(b"evil"))
    size = path.stat().st_size
    shards = [index.shards[0]._replace(bytes=size), *index.shards[1:]]
    changed(index, shards=shards).write(copy / INDEX)
    ShardSet(copy).read(0)
    code, err = verified(restore, copy)
    assert code == 1
    assert f"{name} is not in the index" in err
    assert not (copy.parent.parent / "evil.clean.npy").exists()


def test_a_shard_that_goes_while_it_is_read(copy):
    shards = ShardSet(copy)
    row = shards.rows("train", "degraded")[0]
    expected = shards.read(row)
    for path in copy.glob("*.tar"):
        path.unlink()
    assert torch.equal(shards.read(row), expected)  # an open file stays
    other = int(shards.rows("test", "degraded")[0])
    with pytest.raises(UserError, match=r"test-000000\.tar cannot be read: No such file"):
        shards.read(other)


def test_threads_do_not_disturb_each_other(packed):
    shards = ShardSet(packed)
    expected = {row: shards.read(row) for row in range(6)}
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda n: torch.equal(shards.read(n % 6), expected[n % 6]), range(1200)))
    assert all(read)


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


def test_a_shard_that_is_cut_while_it_is_read(copy):
    shards = ShardSet(copy)
    row = int(shards.rows("train", "degraded")[0])
    shards.read(row)
    os.truncate(copy / "train-000000.tar", 1000)
    with pytest.raises(UserError, match=r"train-000000\.tar is cut short"):
        shards.read(row)


def test_a_million_members(tmp_path):
    """Opens in under a second and 200 MB: measured in a process of its own."""
    count = 500_000
    members = np.zeros(2 * count, dtype=MEMBER)
    members["sample"] = np.repeat(np.arange(count), 2)
    members["version"] = np.tile([0, 1], count)
    members["height"], members["width"], members["bytes"] = 360, 640, 128 + 360 * 640 * 3
    members["shard"] = members["sample"] // 250
    members["offset"] = 512 + np.arange(2 * count) % 500 * (members["bytes"][0] + 1024)
    (tmp_path / "set").mkdir()
    shards = []
    for number in range(count // 250):
        name = f"train-{number:06d}.tar"
        with (tmp_path / "set" / name).open("wb") as file:
            file.truncate(2**29)  # a hole
        shards.append(Shard(name, 2**29, zlib.crc32(bytes(4096)), 0))
    text = "".join(f"GOPR0372_07_00/{number:06d}\n" for number in range(count))
    Index(
        about={},
        shards=shards,
        splits=["train"],
        sequences=[""],
        versions=["clean", "degraded"],
        factors=[()],
        views=[View()],
        samples=np.zeros(count, dtype=SAMPLE),
        members=members,
        names=names(text),
    ).write(tmp_path / "set" / INDEX)
    script = f"""
import json, pathlib, resource, time
from restore_lightning.data.shards.packing import pack
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.data.shards.samples import Member
def held(): return int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
before, start = held(), time.process_time()
shards = ShardSet(pathlib.Path({str(tmp_path / "set")!r}))
seconds = time.process_time() - start
rows = shards.rows("train", "degraded")
shards.read(int(rows[-1]))
print(json.dumps([seconds, held() - before, len(rows), shards.name(int(rows[-1]))]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, mebibytes, rows, last = json.loads(run.stdout)
    print(f"{seconds:.2f} s, {mebibytes:.0f} MiB")
    assert (rows, last) == (count, "GOPR0372_07_00/499999")
    assert mebibytes < 200


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
import fcntl, sys, time
file = open({str(tmp_path / ".set.packing/lock")!r}, "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        code, _, err = restore("shards", "pack", "pairs", root, tmp_path / "set", "--workers", 0)
        other.kill()
    assert code == 1
    assert "another process is writing" in line_of(err)
    assert (tmp_path / ".set.packing/lock").exists()
    assert restore("shards", "pack", "pairs", root, tmp_path / "set", "--workers", 0)[0] == 0


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
    assert "mend this and give the same command again" in line_of(limited.stderr)
    assert not out.exists()
    left = [path.name for path in (tmp_path / ".set.packing").iterdir()]
    assert sorted(left) == ["lock", "test-000000.json", "test-000000.tar"]  # what fits
    subprocess.run([*words, "--workers", "0"], check=True)
    assert len(ShardSet(out).index.members) == 16


def test_a_disk_that_is_too_small(root, restore, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    code, _, err = restore("shards", "pack", "pairs", root, tmp_path / "set", "--workers", 0)
    assert code == 1
    assert "has 0.0 GB free" in line_of(err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pack", "gopros", "ROOT", "OUT"), "layout 'gopros': give one of pairs, clean, gopro"),
        (("pack", "gopro", "nowhere", "OUT"), "nowhere is no folder"),
        (("pack", "gopro", "ROOT", "OUT"), "is where gopro has them (degraded train/{sequence}/blur/{image};"),
        (("pack", "pairs", "ROOT", "OUT", "--size", "640"), "--size 640: give WIDTHxHEIGHT"),
        (("pack", "pairs", "ROOT", "OUT", "--size", "64x36", "--store", "files"), "--size and --store files"),
        (("pack", "pairs", "ROOT", "OUT", "--allow-missing", "-1"), "--allow-missing -1: give at least 0"),
        (("pack", "pairs", "ROOT", "OUT", "--split", "a/b"), "--split a/b: give a word"),
        (("pack", "pairs", "ROOT", "ROOT"), "exists already and is no data set of ours"),
        (("pack", "pairs", "ROOT", "ROOT", "--overwrite"), "is no data set of ours: choose"),
        (("info", "ROOT"), "has no index.npz"),
        (("verify", "nowhere"), "nowhere is no folder"),
    ],
)
def test_wrong_calls(words, message, root, restore, tmp_path):
    places = {"ROOT": root, "OUT": tmp_path / "out"}
    code, _, err = restore("shards", *(places.get(word, word) for word in words))
    assert code == 2
    assert message in line_of(err)
    assert list(tmp_path.iterdir()) == []


def test_a_set_is_replaced_only_when_asked_to(root, copy, restore):
    words = ("shards", "pack", "pairs", root, copy, "--split", "val", "--workers", 0)
    assert restore(*words)[0] == 2
    assert restore(*words, "--overwrite")[0] == 0
    assert ShardSet(copy).splits == ["val"]
    assert [path.name for path in copy.parent.iterdir()] == ["set"]
