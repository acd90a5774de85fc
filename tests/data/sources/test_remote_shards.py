"""Shards that are kept elsewhere: real servers over HTTP and S3."""

import base64
import functools
import http.server
import logging
import os
import shutil
import tarfile
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.remote_shards import RemoteShards
from restore_lightning.errors import UserError
from restore_lightning.io.images import to_float


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pairs in three shards, the degraded images inverted; and the clean ones alone."""
    from restore_lightning.cli import main

    where = tmp_path_factory.mktemp("served")
    for number in range(6):
        clean = data.coffee()[20 * number : 20 * number + 200, 30 * number : 30 * number + 240]
        for kind, values in (("clean", clean), ("degraded", 255 - clean)):
            (where / "root" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(where / f"root/{kind}/{number}.png")
    size = ("--shard-size", "1", "--workers", "0")
    assert main(["shards", "pack", "pairs", str(where / "root"), str(where / "pairs"), *size]) == 0
    assert main(["shards", "pack", "clean", str(where / "root/clean"), str(where / "photos"), *size]) == 0
    assert main(["shards", "pack", "pairs", str(where / "root"), str(where / "files"), "--store", "files", *size]) == 0
    assert main(["shards", "pack", "pairs", str(where / "root"), str(where / "test"), "--split", "test", *size]) == 0
    return where


PASSWORD = f"Basic {base64.b64encode(b'me:s3cret').decode()}"


@pytest.fixture(scope="module")
def web(folder):
    """The folder on a web server (without ranges, as simple ones are)."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            """Below /private/ it asks for a password and a signature."""
            if self.path.startswith("/private/"):
                asked = self.headers.get("Authorization") == PASSWORD and self.path.endswith("?v=1&sig=s3cret")
                self.path = self.path.removeprefix("/private") if asked else "/no"
            super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def bucket(folder):
    """The folder in a bucket of a server that speaks S3."""
    from moto.server import ThreadedMotoServer

    pytest.importorskip("s3fs")
    import boto3

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    before = {key: os.environ.get(key) for key in settings}
    os.environ.update(settings)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="images")
    for path in folder.rglob("*"):
        if path.parent.name in ("pairs", "photos"):
            client.upload_file(str(path), "images", str(path.relative_to(folder)))
    yield "s3://images"
    server.stop()
    for key, value in before.items():
        os.environ.pop(key) if value is None else os.environ.update({key: value})


@pytest.fixture(params=["web", "bucket"])
def url(request):
    return request.getfixturevalue(request.param)


def trained_on(url, **data):
    module = RestorationData({"noise": FactorConfig(shards=url, augment=[], **data)}, crop_size=32)
    module.setup("fit")
    return module


def test_pairs(url, caplog):
    with caplog.at_level(logging.WARNING):
        module = trained_on(f"{url}/pairs")
    assert "a resumed run sees other crops than one that was never stopped" in caplog.text
    seen = set()
    for number in range(24):
        sample = module.training_set[SampleIndex("noise", 0, number, number)]
        assert sample["degraded"].shape == (3, 32, 32)
        assert torch.equal(sample["degraded"], 255 - sample["clean"])  # the same place of the same image
        seen.add(sample["clean"].numpy().tobytes())
    assert len(seen) == 24


def test_clean_images_are_degraded_on_the_fly(url):
    module = trained_on(f"{url}/photos")
    sample = module.training_set[SampleIndex("noise", 0, 0, 0)]
    clean = to_float(sample["clean"])
    noise = (sample["degraded"] if sample["degraded"].is_floating_point() else to_float(sample["degraded"])) - clean
    assert 10 / 255 < noise.std() < 80 / 255


def test_every_image_comes_equally_often(web):
    stream = RemoteShards(f"{web}/pairs")
    names = [stream.next(0, 0)["__key__"] for _ in range(120)]
    assert sorted(set(names)) == [str(number) for number in range(6)]
    assert all(14 <= names.count(name) <= 26 for name in names)  # 20, but for what waits in the buffer
    other = RemoteShards(f"{web}/pairs")
    assert [other.next(0, 1)["__key__"] for _ in range(120)] != names


def test_a_run_trains_from_remote_shards(web, restore, tmp_path):
    """With two workers, each with a stream of its own; root is a URL."""
    from tests.conftest import CONF

    words = ("--data.root", f"{web}/photos", "--data.num_workers", 2, "--trainer.max_steps", 3)
    code, _, err = restore(
        "fit", "--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path / "run", *words
    )
    assert code == 0, err
    assert (tmp_path / "run/checkpoints/last.ckpt").exists()


def test_secrets_come_from_the_environment_and_are_kept_nowhere(web, restore, tmp_path, monkeypatch):
    """A password and a signature: neither in the run's files nor in what is said, whatever goes wrong."""
    from tests.conftest import CONF

    host = web.removeprefix("http://")
    run = ("fit", "--config", CONF / "single.yaml", "--trainer.max_steps", 1, "--trainer.limit_val_batches", 0)
    run += ("--trainer.default_root_dir", tmp_path / "run")
    code, _, err = restore(*run, "--data.root", f"http://me:s3cret@{host}/private/photos?v=1&sig=s3cret")
    assert code == 2
    assert "data.root http://***@" in err
    assert "put it into an environment variable, e.g. SHARDS_SECRET, and write ${SHARDS_SECRET}" in err
    assert not list(tmp_path.iterdir())
    said = err
    address = "http://me:${SHARDS_SECRET}@HOST/private/WHERE?v=1&sig=${SHARDS_SECRET}".replace("HOST", host)
    code, _, err = restore(*run, "--data.root", address.replace("WHERE", "photos"))
    assert code == 2
    assert "there is no environment variable SHARDS_SECRET, set it" in err
    monkeypatch.setenv("SHARDS_SECRET", "s3cret")
    code, out, err = restore(*run, "--data.root", address.replace("WHERE", "photos"))
    assert code == 0, err
    said += out + err
    code, out, err = restore(*run, "--overwrite", "--data.root", address.replace("WHERE", "nowhere"))
    assert code == 1
    assert "http://me:${SHARDS_SECRET}@" not in err  # a user's name need not be read either
    assert "/private/nowhere/index.npz?v=***&sig=${SHARDS_SECRET} cannot be read: " in err
    assert "s3cret" not in said + out + err
    assert "${SHARDS_SECRET}" in (tmp_path / "run/config.yaml").read_text()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"s3cret" not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nowhere", "nowhere/index.npz cannot be read: .*404"),
        ("test", "has no training images, only test"),
        ("files", "pack it with --store arrays"),
    ],
)
def test_what_cannot_be_streamed(where, message, web):
    with pytest.raises(UserError, match=message):
        trained_on(f"{web}/{where}")
    with pytest.raises(UserError, match="crop_size 201 is larger than the smallest image"):
        RestorationData({"noise": FactorConfig(shards=f"{web}/pairs")}, crop_size=201).setup("fit")
    with pytest.raises(UserError, match="cannot be read"):
        trained_on("nonsense://host/set")


def test_shards_that_are_cut_short(folder, web, caplog, monkeypatch):
    """Behind the first image of a sample: what is whole is used, the rest is named."""
    monkeypatch.setattr("restore_lightning.data.sources.remote_shards.WAIT", 0)
    shutil.copytree(folder / "pairs", folder / "cut")
    for path in (folder / "cut").glob("*.tar"):
        with tarfile.open(path) as tar:
            second = tar.getmembers()[1]
        path.write_bytes(path.read_bytes()[: second.offset])
    stream = RemoteShards(f"{web}/cut")
    with pytest.raises(UserError, match="shards in a row cannot be read"):
        stream.next(0, 0)
    assert "is not whole" in caplog.text


def test_sets_that_are_scored_are_local(web):
    sets = {"x": EvaluationConfig(shards=f"{web}/pairs")}
    with pytest.raises(
        UserError, match=r"data.test_sets.x.shards http.*: validation and test sets are read from local"
    ):
        RestorationData({"noise": FactorConfig()}, test_sets=sets).setup("fit")


def test_shards_that_go_away(folder, web, caplog, monkeypatch):
    """One that fails is named and left out; when all fail the run ends."""
    monkeypatch.setattr("restore_lightning.data.sources.remote_shards.WAIT", 0)
    stream = RemoteShards(f"{web}/pairs")
    shard = folder / "pairs/train-000000.tar"
    shard.rename(folder / "away.tar")
    try:
        with caplog.at_level(logging.WARNING):
            names = {stream.next(0, 0)["__key__"] for _ in range(8)}
        assert "train-000000.tar is left out of this round" in caplog.text
        assert names < {str(number) for number in range(6)}
    finally:
        (folder / "away.tar").rename(shard)
    stream.url = f"{web}/gone"
    with pytest.raises(UserError, match="5 shards in a row cannot be read"):
        [stream.next(0, 0) for _ in range(100)]


def test_crops_are_the_images(web, folder):
    module = trained_on(f"{web}/pairs")
    images = [np.asarray(Image.open(path)) for path in sorted((folder / "root/clean").iterdir())]
    crop = module.training_set[SampleIndex("noise", 0, 5, 5)]["clean"].permute(1, 2, 0).numpy()
    windows = [np.lib.stride_tricks.sliding_window_view(image[..., 0], (32, 32)) for image in images]
    assert any((window == crop[..., 0]).all(axis=(2, 3)).any() for window in windows)
