"""Damage that `restore shards verify` finds."""

import shutil
import tarfile
from io import BytesIO

import pytest

from restore_lightning.data.shards.index import INDEX, read_index
from restore_lightning.data.shards.reader import ShardSet
from tests.data.shards.conftest import changed, line_of


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
