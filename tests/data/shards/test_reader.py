"""Windows of stored images without decoding, by processes and threads, and shards that go."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.errors import UserError
from restore_lightning.io.pixel_windows import Window


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


def test_threads_do_not_disturb_each_other(packed):
    shards = ShardSet(packed)
    expected = {row: shards.read(row) for row in range(6)}
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda n: torch.equal(shards.read(n % 6), expected[n % 6]), range(1200)))
    assert all(read)


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


def test_a_shard_that_is_cut_while_it_is_read(copy):
    shards = ShardSet(copy)
    row = int(shards.rows("train", "degraded")[0])
    shards.read(row)
    os.truncate(copy / "train-000000.tar", 1000)
    with pytest.raises(UserError, match=r"train-000000\.tar is cut short"):
        shards.read(row)
