"""The index of shards: damaged, made up, and of a million members."""

import json
import shutil
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from restore_lightning.data.shards.index import INDEX, MEMBER, SAMPLE, Index, Shard, read_index
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.errors import UserError
from restore_lightning.io.file_views import View
from tests.data.shards.conftest import changed


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
        ({"splits": ["train", "test", "val"]}, "a split has no samples, or stands twice"),
        ({"splits": ["train", "train"]}, "a split has no samples, or stands twice"),
        ({"names": names(EIGHT)}, "it does not have a name for each sample"),
    ],
)
def test_indices_that_we_did_not_write(changes, message, packed, tmp_path):
    changed(read_index(packed / INDEX, "index"), **changes).write(tmp_path / INDEX)
    with pytest.raises(UserError, match=message):
        read_index(tmp_path / INDEX, "index")


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
