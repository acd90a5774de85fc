"""Test images are found in the training data however they were changed, and others are not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from restore_lightning.data.leaks.features import features_of
from restore_lightning.data.leaks.images import ImageEntry, images_of
from restore_lightning.data.leaks.index import NAMES, TURNS, PatchIndex
from restore_lightning.data.leaks.search import find_leaks
from restore_lightning.errors import UserError
from tests.data.leaks.conftest import jpeg, smaller

FLIP, QUARTER = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90
COPIES = {
    "whole": (lambda image: image, "exact", []),
    "top left": (lambda image: image.crop((0, 0, 240, 160)), "crop", []),
    "off the grid, flipped": (
        lambda image: image.crop((37, 21, 237, 191)).transpose(FLIP), "crop", ["flipped left to right"]
    ),
    "turned": (lambda image: image.transpose(QUARTER), "exact", ["turned by 270 degrees"]),
    "JPEG 95": (lambda image: jpeg(image, 95), "near", ["other pixels"]),
    "JPEG 50": (lambda image: jpeg(image, 50), "near", ["other pixels"]),
    "0.9": (lambda image: smaller(image, 0.9), "near", ["resized to 0.90"]),
    "0.5": (lambda image: jpeg(smaller(image, 0.5), 75), "near", ["resized to 0.50"]),
    "all": (
        lambda image: jpeg(smaller(image.crop((31, 25, 291, 235)), 0.7), 75).transpose(FLIP),
        "near",
        ["cropped", "flipped left to right", "resized to 0.70"],
    ),
}  # fmt: skip


def entry(name, image):
    array = np.asarray(image)
    return ImageEntry(name, lambda: array, lambda: array.shape[:2])


@pytest.fixture(scope="module")
def found(pictures, train):
    """Pairs by the names of copies of two photographs, and of another one's."""
    test = [entry(f"{name}|{kind}", copy(pictures[name]))
            for name in ("astronaut", "coffee") for kind, (copy, *_) in COPIES.items()]  # fmt: skip
    test += [entry("rocket|whole", pictures["rocket"]), entry("rocket|JPEG", jpeg(pictures["rocket"], 50))]
    leaks = find_leaks(images_of([train], training=True).entries, test)
    assert not leaks.problems
    return leaks.pairs


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_told_apart(kind, found):
    _, wanted, changes = COPIES[kind]
    for name in ("astronaut", "coffee"):
        (pair,) = [pair for pair in found if pair.test == f"{name}|{kind}"]
        assert Path(pair.train).stem == name
        assert (pair.kind, pair.changes) == (wanted, changes)
        assert pair.found.psnr == float("inf") if wanted != "near" else 25 < pair.found.psnr < 60


def test_where_a_crop_lies(found):
    (pair,) = [pair for pair in found if pair.test == "coffee|off the grid, flipped"]
    assert pair.found.box == (21, 300 - 237, 170, 200)
    assert pair.found.common == 1
    (pair,) = [pair for pair in found if pair.test == "coffee|all"]
    assert pair.found.box == pytest.approx((25, 300 - 291, 210, 260), abs=1)
    assert pair.as_dict()["scale"] == pytest.approx([0.7, 0.7], abs=0.01)


def test_other_photographs_are_not_found(found):
    assert not [pair for pair in found if pair.test.startswith("rocket")]


def test_overlapping_crops_of_one_photograph(pictures):
    photograph = pictures["astronaut"]
    pair, = find_leaks([entry("a", photograph.crop((0, 0, 200, 200)))], [entry("b", photograph.crop((80, 40, 300, 260)))]).pairs  # fmt: skip  # noqa: E501
    assert (pair.kind, pair.found.box) == ("crop", (40, 80, 220, 220))
    assert pair.found.common == pytest.approx(120 * 160 / 200**2)


def test_images_without_structure_are_compared_as_wholes():
    flat = {shade: np.full((40, 50, 3), shade, np.uint8) for shade in (0, 9)}
    leaks = find_leaks([entry("train", flat[9])], [entry("same", flat[9]), entry("other", flat[0])])
    assert [(pair.test, pair.kind) for pair in leaks.pairs] == [("same", "exact")]
    assert leaks.plain == ["same", "other"]


def test_a_pattern_that_repeats():
    """Each patch of one is like all patches of the other; what is compared of them is bounded."""
    tile = gaussian_filter(np.random.default_rng(0).uniform(0, 255, (32, 32)), 2, mode="wrap")
    tile = np.uint8(255 * (tile - tile.min()) / np.ptp(tile))
    image = np.tile(tile, (16, 16))[..., None].repeat(3, 2)
    (pair,) = find_leaks([entry("train", image)], [entry("test", image[5:405, 9:409])]).pairs
    assert (pair.test, pair.kind) == ("test", "crop")


@pytest.mark.parametrize(
    ("error", "said"),
    [(UserError("b.png is gone"), "b.png is gone"), (MemoryError(), "b is too large for the memory that is free")],
)
def test_what_cannot_be_read_again_is_named(error, said, pictures):
    """The others are still compared; an image is read a second time where it looks like a training image."""
    array, reads = np.asarray(pictures["coffee"])[:200], []

    def read():
        reads.append(1)
        if len(reads) > 1:
            raise error
        return array

    train = [entry("c", pictures["coffee"]), entry("d", pictures["coffee"]), entry("a", pictures["astronaut"])]
    test = [ImageEntry("b", read, lambda: array.shape[:2]), entry("a", pictures["astronaut"])]
    leaks = find_leaks(train, test)
    assert [(pair.test, pair.train) for pair in leaks.pairs] == [("a", "a")]
    (problem,) = leaks.problems
    assert problem.startswith(said)


def test_a_pattern_that_repeats_takes_bounded_memory(monkeypatch):
    """Each patch is like all others: pairs are thinned before they pile up, of each image alike."""
    tile = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(float)
    features = features_of(np.tile(gaussian_filter(tile, 2, mode="wrap"), (8, 8)))
    index = PatchIndex([features] * 3)
    monkeypatch.setattr("restore_lightning.data.leaks.index.MOST_CANDIDATES", 2**62)
    whole, _ = index._alike(index.hashes[: len(features.scales)])
    most = len(whole) // 8
    monkeypatch.setattr("restore_lightning.data.leaks.index.MOST_CANDIDATES", most)
    _, ours = index._alike(index.hashes[: len(features.scales)])
    assert len(ours) < most + 3 * len(index.hashes)
    assert np.all(np.bincount(index.image[ours]) > 0)
    assert {placed.image for placed in index.placements(features, 256, 256)} == {0, 1, 2}


@pytest.mark.parametrize("turn", TURNS, ids=NAMES.values())
def test_codes_of_a_turned_image(turn, pictures):
    """What is computed from the codes is what the turned image's own codes say."""
    gray = np.asarray(pictures["chelsea"].convert("L"))
    (best, *_) = PatchIndex([features_of(turn.of(gray))]).placements(features_of(gray), *gray.shape)
    assert best.turn == turn
    assert best.scale == pytest.approx((1, 1), abs=0.01)
    assert best.offset == pytest.approx((0, 0), abs=1)


@pytest.mark.slow
def test_rain100h_backgrounds(shared):
    """Three of four are top-left parts of BSD400's images, the others of CBSD68's (ALL_IN_ONE.md, "Leaks")."""
    folder = shared / "data/BSDS500"
    train = images_of([folder / "train"], training=True).entries[:24]
    others = images_of([folder / "val"], training=True).entries[:3]

    def background(photograph):
        image = Image.fromarray(photograph.read())
        return image.crop((0, 0, *((480, 320) if image.width > image.height else (320, 480))))

    test = [entry(one.name, background(one)) for one in (*train[:9], *others)]
    pairs = find_leaks(train, test).pairs
    assert [(pair.test, pair.train, pair.kind) for pair in pairs] == [(one.name, one.name, "crop") for one in train[:9]]
