"""Pairs of real photographs, packed, and a copy to damage."""

import shutil

import pytest
from PIL import Image
from skimage import data

from restore_lightning.data.shards.index import Index


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


def changed(index, **changes):
    """An index with some numbers changed."""
    members, samples = index.members.copy(), index.samples.copy()
    for key, value in changes.pop("member", {}).items():
        members[key][1] = value
    if "sample" in changes:
        samples["split"][0] = changes.pop("sample")
    fields = {name: getattr(index, name) for name in index.__dataclass_fields__}
    return Index(**fields | {"members": members, "samples": samples} | changes)
