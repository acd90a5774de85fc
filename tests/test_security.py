"""What SECURITY.md promises."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.conftest import CONF

TINY = CONF / "tiny.yaml"


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture(scope="module")
def marker(tmp_path_factory):
    return tmp_path_factory.mktemp("evil") / "ran"


@pytest.fixture(scope="module")
def poisoned(marker, step_1, tmp_path_factory):
    """A run whose checkpoint is whole, and holds one thing more."""
    run = tmp_path_factory.mktemp("poisoned")
    (run / "checkpoints").mkdir()
    checkpoint = torch.load(step_1, weights_only=True)
    for name in ("last", "best"):
        torch.save(checkpoint | {"hparams_name": Evil(marker)}, run / f"checkpoints/{name}.ckpt")
    return run / "checkpoints/last.ckpt"


def test_the_poison_works(poisoned, marker):
    torch.load(poisoned, weights_only=False)
    assert marker.is_dir()
    marker.rmdir()


FIT = ("fit", "--config", TINY, "--trainer.max_steps", 1)
VERBS = {
    "apply": lambda file, out: ("apply", file, "PHOTOS", "--factor", "rain", "--output", out),
    "convert": lambda file, out: ("convert", "DRN", file, out / "drn.ckpt"),
    "fit --ckpt_path": lambda file, out: (*FIT, "--trainer.default_root_dir", out, "--ckpt_path", file),
    "fit --ckpt_path last": lambda file, out: (
        *FIT, "--trainer.default_root_dir", file.parents[1], "--ckpt_path", "last",
    ),
    "fit --weights_only false": lambda file, out: (
        *FIT, "--trainer.default_root_dir", out, "--ckpt_path", file, "--weights_only", "false",
    ),
    "fit --model.init_from": lambda file, out: (
        "fit", "--config", CONF / "recurrent.yaml", "--model.init_from", file, "--trainer.default_root_dir", out,
    ),
    "test --model.baselines": lambda file, out: (
        "test", "--config", TINY, "--trainer.default_root_dir", out, "--ckpt_path", "WHOLE",
        "--model.baselines", f"{{other: {{checkpoint: {file}}}}}",
    ),
    **{
        verb: lambda file, out, verb=verb: (
            verb, "--config", TINY, "--trainer.default_root_dir", file.parents[1], "--ckpt_path", file,
        )
        for verb in ("validate", "test", "predict")
    },
}  # fmt: skip


@pytest.mark.parametrize("forced", [False, True], ids=["", "forced"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_checkpoint_runs_nothing(verb, forced, poisoned, marker, photographs, step_1, restore, tmp_path, monkeypatch):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    words = [
        {"PHOTOS": photographs, "WHOLE": step_1}.get(word, word) for word in VERBS[verb](poisoned, tmp_path / "out")
    ]
    code, _, err = restore(*words)
    assert not marker.exists()
    assert code != 0
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
    assert "more than tensors" in line or "weights_only" in line


def test_an_index_runs_nothing(marker, packed_photos, restore):
    with np.load(packed_photos / "index.npz") as stored:
        arrays = dict(stored)
    for name in arrays:
        evil = np.empty(1, object)
        evil[0] = Evil(marker)
        np.savez(packed_photos / "index.npz", **arrays | {name: evil})
        for verb in ("info", "verify"):
            code, _, err = restore("shards", verb, packed_photos)
            assert code == 1
            assert "cannot be read as an index of shards" in err
        assert not marker.exists()


def test_a_depth_map_runs_nothing(marker, photographs, restore, tmp_path):
    (tmp_path / "root/depth").mkdir(parents=True)
    (tmp_path / "root/clear").symlink_to(photographs)
    for path in photographs.iterdir():
        evil = np.empty((1, 1), object)
        evil[0, 0] = Evil(marker)
        np.save(tmp_path / f"root/depth/{path.stem}.npy", evil)
    code, _, err = restore("mix", tmp_path / "set", "--root", tmp_path / "root")
    assert code != 0
    assert "Traceback" not in err
    assert not marker.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir [MARKER]", "!!python/name:os.mkdir"])
def test_yaml_runs_nothing(tag, marker, photographs, restore, tmp_path):
    tag = tag.replace("MARKER", str(marker))
    path = tmp_path / "evil.yaml"
    path.write_text(f"{TINY.read_text()}\nseed_everything: {tag}\n")
    assert restore("fit", "--config", path, "--trainer.default_root_dir", tmp_path / "run")[0] == 2
    assert restore("search", "order", "--config", path, "--output", tmp_path / "search")[0] == 2
    path.write_text(f"mine: {tag}\n")
    assert restore("shards", "pack", path, photographs, tmp_path / "set")[0] == 2
    assert not marker.exists()


@pytest.fixture
def packed_photos(photographs, restore, tmp_path):
    assert restore("shards", "pack", "clean", photographs, tmp_path / "set", "--workers", 0)[0] == 0
    return tmp_path / "set"


def rename_first(folder: Path, name: str) -> None:
    """Call the first sample of a set otherwise in its index."""
    with np.load(folder / "index.npz") as stored:
        arrays = dict(stored)
    _, *others = arrays["names"].tobytes().split(b"\n")
    arrays["names"] = np.frombuffer(b"\n".join([name.encode(), *others]), np.uint8)
    np.savez(folder / "index.npz", **arrays)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/../../x", "..", "a\x1b[2J", "a\x00b"])
def test_names_that_lead_elsewhere(name, packed_photos, restore):
    rename_first(packed_photos, name)
    code, _, err = restore("shards", "info", packed_photos)
    assert code == 1
    assert "cannot be read as an index of shards: a name " in err


@pytest.mark.parametrize("split", ["../../x", "/tmp/x", "test_/../../x", ""])
def test_splits_that_lead_elsewhere(split, packed_photos, restore):
    """A split becomes a folder of `predict`."""
    with np.load(packed_photos / "index.npz") as stored:
        arrays = dict(stored)
    header = json.loads(arrays["header"].tobytes())
    header["splits"][0] = split
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(packed_photos / "index.npz", **arrays)
    code, _, err = restore("shards", "info", packed_photos)
    assert code == 1
    assert "is no name of a split" in err


@pytest.mark.parametrize("kind", ["above", "absolute", "link", "device"])
def test_tar_members_stay_in_their_file(kind, packed_photos, restore, tmp_path):
    """Nothing is extracted: what a member is called or links to is reported, and nothing appears elsewhere."""
    (shard,) = packed_photos.glob("*.tar")
    with tarfile.open(shard) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    first = members[0][0]
    size = shard.stat().st_size
    with tarfile.open(shard, "w") as tar:
        for member, data in members:
            if member is first and kind in ("link", "device"):
                member.type = tarfile.SYMTYPE if kind == "link" else tarfile.CHRTYPE
                member.linkname, member.size = "/etc/passwd", 0
            elif member is first:
                member.name = ("../../" if kind == "above" else f"{tmp_path}/") + "x.clean.npy"
            tar.addfile(member, io.BytesIO(data))
    shard.write_bytes(shard.read_bytes()[:size].ljust(size, b"\0"))
    before = sorted(tmp_path.rglob("*"))
    code, _, err = restore("shards", "verify", packed_photos, "--workers", 0)
    assert code == 1
    assert "damaged" in err or "another name" in err or "is no file" in err
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "x.clean.npy").exists()


EVIL_NAME = "<img src=x onerror=alert(1)>&\"'"


@pytest.mark.slow
def test_the_report_escapes_names(photographs, restore, tmp_path):
    """Names of files and of sets, through the commands."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photographs.iterdir():
        (folder / f"{EVIL_NAME}{path.name}").write_bytes(path.read_bytes())
    run = ("--config", TINY, "--trainer.default_root_dir", tmp_path / "run")
    sets = {EVIL_NAME.replace("/", ""): {"clean": str(folder), "factor": "jpeg"}}
    assert restore("fit", *run, "--trainer.max_steps", 1, "--data.test_sets", json.dumps(sets))[0] == 0
    code, _, err = restore("test", "--config", tmp_path / "run/config.yaml")
    assert code == 0, err
    page = (tmp_path / "run/report/index.html").read_text(encoding="utf-8")
    assert "&lt;img src=x onerror" in page
    assert "<img src=x onerror" not in page


ALONE = """
import socket, sys
looked_up = []
def watch(event, given):
    if event in ("socket.connect", "socket.sendto") and given[0].family in (socket.AF_INET, socket.AF_INET6):
        looked_up.append(given[1])
    if event == "socket.getaddrinfo":
        looked_up.append(given[:2])
sys.addaudithook(watch)
from restore_lightning.cli import main
codes = [main(words.split("\\t")) for words in sys.argv[1:]]
local = {"localhost", "127.0.0.1", "::1", socket.gethostname()}
elsewhere = [place for place in looked_up if place[0] not in local]
print("codes", codes, "elsewhere", elsewhere)
sys.exit(any(codes) or bool(elsewhere))
"""


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, "0123456789abcdef" * 2 + "01234567"], ids=["without a key", "with a key"])
def test_no_network_and_no_secret(key, photographs, tmp_path):
    """A run with W&B, its test, and the verbs on files; W&B is offline without a key, with one where it is told so."""
    run = tmp_path / "run"
    lines = [
        ("fit", "--config", TINY, "--trainer.max_steps", 1, "--trainer.logger", "true", "--trainer.default_root_dir",
         run),
        ("test", "--config", run / "config.yaml", "--trainer.limit_test_batches", 1),
        ("apply", run / "checkpoints/last.ckpt", photographs, "--factor", "rain", "--output", tmp_path / "out"),
        ("score", tmp_path / "out", photographs, "--protocol", "durn-y"),
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    if key:
        environment |= {"WANDB_API_KEY": key, "WANDB_MODE": "offline", "AWS_SECRET_ACCESS_KEY": key[::-1]}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *("\t".join(map(str, words)) for words in lines)],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(run.glob("wandb/offline-run-*/*.wandb"))
    if key:
        assert key not in done.stdout + done.stderr
        for path in (path for path in tmp_path.rglob("*") if path.is_file()):
            content = path.read_bytes()
            assert key.encode() not in content, path
            assert key[::-1].encode() not in content, path
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["logger"] is True


def test_a_header_that_promises_too_much(restore, step_1, tmp_path):
    """A bomb: 100,000 x 100,000 pixels in a few bytes."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    code, _, err = restore("apply", step_1, tmp_path / "bomb.png", "--factor", "rain", "--output", tmp_path / "out")
    assert code == 1
    assert "bomb.png cannot be read as an image" in err
