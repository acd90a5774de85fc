"""Damaged files through the commands that read them."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from restore_lightning.cli import main
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.errors import UserError
from tests.conftest import CONF
from tests.fuzz.mutations import as_json, damaged_bytes, damaged_text, damaged_value
from tests.fuzz.running import fuzzed

pytestmark = pytest.mark.slow
SEEDS = st.integers(0, 2**32 - 1)
TINY = CONF / "tiny.yaml"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A fresh folder for each input."""
    folder = tmp_path_factory.mktemp("fuzz") / "here"

    def fresh() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    return fresh


def test_a_header_without_rows(images, place, step_1):
    """Found by fuzzing: it ended a folder's restoration."""
    folder = place()
    (folder / "whole.png").write_bytes(images["rgb.png"])
    (folder / "rgb.tif").write_bytes(damaged_bytes(images["rgb.tif"], 920))
    done = fuzzed("images, apply", "apply", step_1, folder, "--factor", "rain", "--output", folder.parent / "out",
                  "--overwrite", codes=(1,))  # fmt: skip
    assert "1 of 2 images restored" in done.out
    assert "rgb.tif cannot be read as an image" in done.err


@given(seed=SEEDS, data=st.data())
def test_images(seed, data, images, place, step_1):
    """Beside a whole one, which is restored; each is restored or named."""
    folder, name = place(), data.draw(st.sampled_from(sorted(images)))
    (folder / "in").mkdir()
    (folder / "in/whole.png").write_bytes(images["rgb.png"])
    (folder / f"in/{name}").write_bytes(damaged_bytes(images[name], seed))
    words = ("apply", step_1, folder / "in", "--factor", "rain", "--output", folder / "out")
    done = fuzzed("images, apply", *words, codes=(0, 1))
    (counts,) = re.findall(r"(\d+) of (\d+) images restored", done.out)
    assert (folder / "out/whole.png").is_file()
    assert int(counts[1]) == 2
    assert int(counts[0]) == len(list((folder / "out").iterdir())) == 2 - done.code
    assert (f"in/{name}" in done.err) == bool(done.code)


@given(seed=SEEDS, data=st.data())
def test_scored_images(seed, data, images, place):
    folder, name = place(), data.draw(st.sampled_from(sorted(images)))
    for side in ("restored", "clean"):
        (folder / side).mkdir()
        (folder / side / "whole.png").write_bytes(images["rgb.png"])
        (folder / side / name).write_bytes(images[name])
    (folder / "restored" / name).write_bytes(damaged_bytes(images[name], seed))
    words = ("score", folder / "restored", folder / "clean", "--protocol", "matlab-y")
    done = fuzzed("images, score", *words, codes=(0, 1))
    assert f"mean of {2 - done.code} image" in done.out
    assert (f"restored/{name}" in done.err) == bool(done.code)


@given(seed=SEEDS, data=st.data())
def test_packed_images(seed, data, images, place):
    folder, name = place(), data.draw(st.sampled_from(sorted(images)))
    (folder / "in").mkdir()
    (folder / "in/whole.png").write_bytes(images["rgb.png"])
    (folder / f"in/{name}").write_bytes(damaged_bytes(images[name], seed))
    pack = ("shards", "pack", "clean", folder / "in", folder / "set", "--workers", 0)
    done = fuzzed("images, shards pack", *pack, codes=(0, 1))
    assert done.code == 0 or name in done.err
    done = fuzzed("images, shards pack", *pack, "--allow-missing", 1, "--overwrite", codes=(0,))
    assert len(ShardSet(folder / "set").index.members) == 2 - done.err.count("left out: ")
    fuzzed("images, shards pack", "shards", "verify", folder / "set", "--workers", 0, codes=(0,))


@given(seed=SEEDS)
def test_shards(seed, packed, place):
    """Whatever differs is noticed."""
    folder = place() / "set"
    shutil.copytree(packed, folder)
    path = sorted(folder.glob("*.tar"))[seed % 2]
    whole = path.read_bytes()
    changed = damaged_bytes(whole, seed)
    if seed % 3 == 0:  # of the size that the index says
        changed = changed[: len(whole)].ljust(len(whole), b"\0")
    path.write_bytes(changed)
    same = path.read_bytes() == whole
    fuzzed("shards", "shards", "verify", folder, "--workers", 0, codes=(0,) if same else (1,))


@given(seed=SEEDS)
def test_index_bytes(seed, packed, place):
    folder = place() / "set"
    shutil.copytree(packed, folder)
    path = folder / "index.npz"
    path.write_bytes(damaged_bytes(path.read_bytes(), seed))
    check_set(folder)


@given(seed=SEEDS)
def test_index_values(seed, packed, place):
    """Of a whole file: its arrays, and the values of its header."""
    folder = place() / "set"
    shutil.copytree(packed, folder)
    with np.load(folder / "index.npz") as stored:
        arrays = dict(stored)
    rng = np.random.default_rng(seed)
    name = str(rng.choice(["header", "header", "members", "samples", "names"]))
    if name == "header":
        changed = as_json(damaged_value(json.loads(arrays["header"].tobytes()), seed))
        arrays[name] = np.frombuffer(changed, np.uint8)
    else:
        raw = bytearray(arrays[name].tobytes())
        for at in rng.integers(0, len(raw), rng.integers(1, 4)):
            raw[at] = rng.choice([0, 1, 10, 47, 46, 255])
        arrays[name] = np.frombuffer(bytes(raw), arrays[name].dtype)
    np.savez(folder / "index.npz", **arrays)
    check_set(folder)


def check_set(folder: Path) -> None:
    """The commands, then every image: each is read, or refused in a way that is meant for users."""
    fuzzed("indices", "shards", "info", folder, codes=(0, 1))
    fuzzed("indices", "shards", "verify", folder, "--workers", 0, codes=(0, 1))
    try:
        shards = ShardSet(folder)
    except UserError:
        return
    for row in range(len(shards.index.members)):
        try:
            image = shards.read(row)
        except UserError:
            continue
        assert image.shape[1:] == shards.size(row)


@given(seed=SEEDS)
def test_checkpoint_bytes(seed, step_1, images, place):
    folder = place()
    (folder / "x.png").write_bytes(images["rgb.png"])
    (folder / "last.ckpt").write_bytes(damaged_bytes(step_1.read_bytes(), seed))
    apply = ("apply", folder / "last.ckpt", folder / "x.png", "--factor", "rain", "--output", folder / "out")
    done = fuzzed("checkpoints, apply", *apply)
    assert (folder / "out/x.png").is_file() == (done.code == 0)


@given(seed=SEEDS)
def test_checkpoint_values(seed, step_1, images, place):
    """Of a whole file: what a run goes on from, and what a network is built from."""
    folder = place()
    (folder / "x.png").write_bytes(images["rgb.png"])
    checkpoint = torch.load(step_1, weights_only=True)
    kept = {"state_dict"} if seed % 2 else set()
    inner = {key: value for key, value in checkpoint.items() if key not in kept}
    torch.save({key: checkpoint[key] for key in kept} | _mapping(damaged_value(inner, seed)), folder / "last.ckpt")
    if seed % 4 < 2:
        apply = ("apply", folder / "last.ckpt", folder / "x.png", "--factor", "rain", "--output", folder / "out")
        fuzzed("checkpoints, apply", *apply)
    else:
        run = ("--config", TINY, "--trainer.default_root_dir", folder / "run", "--trainer.max_steps", 9)
        go_on = ("--trainer.limit_val_batches", 0, "--ckpt_path", folder / "last.ckpt")
        fuzzed("checkpoints, fit", "fit", *run, *go_on)


@given(seed=SEEDS)
def test_bundle_values(seed, bundle, place):
    folder = place()
    shutil.copytree(bundle, folder / "mine")
    config = json.loads((bundle / "config.json").read_text())
    (folder / "mine/config.json").write_bytes(as_json(damaged_value(config, seed)))
    fuzzed("bundles, values", "bundle", folder / "mine", folder / "out", codes=(0, 1, 2))


@given(seed=SEEDS)
def test_bundle_bytes(seed, bundle, place):
    """With the checksum of what is there."""
    folder = place()
    shutil.copytree(bundle, folder / "mine")
    content = damaged_bytes((bundle / "model.safetensors").read_bytes(), seed)
    (folder / "mine/model.safetensors").write_bytes(content)
    config = json.loads((bundle / "config.json").read_text()) | {"sha256": hashlib.sha256(content).hexdigest()}
    (folder / "mine/config.json").write_text(json.dumps(config))
    fuzzed("bundles, bytes", "bundle", folder / "mine", folder / "out", codes=(0, 1))


@pytest.fixture(scope="module")
def bundle(step_1, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "mine"
    assert main(["bundle", str(step_1), str(folder)]) == 0
    return folder


def _mapping(value):
    return value if isinstance(value, dict) else {"value": value}


@given(seed=SEEDS)
def test_configs(seed, place):
    folder = place()
    path = folder / "config.yaml"
    text = TINY.read_text()
    if seed % 3:
        path.write_text(yaml.safe_dump(damaged_value(yaml.safe_load(text), seed)), encoding="utf-8")
    else:
        path.write_text(damaged_text(text, seed), encoding="utf-8")
    ends = ("--trainer.max_steps", 1, "--trainer.limit_val_batches", 0, "--trainer.default_root_dir", folder / "run")
    quiet = ("--trainer.logger", "false", "--trainer.accelerator", "cpu", "--trainer.devices", 1)
    done = fuzzed("configs", "fit", "--config", path, *ends, *quiet)
    assert (folder / "run/checkpoints/last.ckpt").is_file() == (done.code == 0)


@given(seed=SEEDS)
def test_layouts(seed, images, place):
    folder = place()
    (folder / "in/a").mkdir(parents=True)
    (folder / "in/a/x.png").write_bytes(images["rgb.png"])
    layout = {"mine": {"about": "ours", "parts": [{"split": "test", "clean": "{set}/{image}"}], "border": 1}}
    path = folder / "layout.yaml"
    if seed % 3:
        path.write_text(yaml.safe_dump(damaged_value(layout, seed)), encoding="utf-8")
    else:
        path.write_text(damaged_text(yaml.safe_dump(layout), seed), encoding="utf-8")
    pack = ("shards", "pack", path, folder / "in", folder / "set", "--workers", 0)
    done = fuzzed("layouts", *pack)
    assert (folder / "set").is_dir() == (done.code == 0)
