"""Published layouts, each in a tree of its own; what does not fit is named."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.layouts.layout import layout
from restore_lightning.data.layouts.matching import match_folder
from restore_lightning.data.module import RestorationData
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.errors import UserError
from restore_lightning.paper_tables.printed import known_set, table
from tests.data.layouts.trees import LISTS, TREES, gray, grow, packed, save


@pytest.mark.parametrize("name", TREES)
def test_each_layout(name, restore, tmp_path):
    tree = TREES[name]
    grow(tmp_path / "root", tree, LISTS.get(name))
    (tmp_path / "root/LICENSE").write_text("not an image")
    shards = packed(restore, name, tmp_path / "root", tmp_path / "out")
    splits = list(dict.fromkeys(split for split, _, _ in tree))
    assert sorted(shards.splits) == sorted(splits)
    for split in splits:
        mine = [(20 * number, len(degraded)) for number, (of, _, degraded) in enumerate(tree, start=1) if of == split]
        clean = sorted(gray(shards, row) for row in shards.rows(split, "clean").tolist())
        assert clean == pytest.approx([value for value, _ in mine], abs=1)  # JPEG
        versions = shards.versions(split)
        rows = [row for version in versions for row in shards.rows(split, version).tolist()]
        found = sorted((gray(shards, row), gray(shards, shards.clean_of(row))) for row in rows)
        pairs = [(100 + value + number, value) for value, count in mine for number in range(1, count + 1)]
        assert np.array(found).reshape(-1, 2) == pytest.approx(np.array(pairs).reshape(-1, 2), abs=1)
        assert len({(shards.name(row), shards.factors(row)) for row in rows}) == len(rows)


def test_versions_are_counted_as_people_count(restore, tmp_path):
    grow(tmp_path / "root", TREES["sots-indoor"])
    shards = packed(restore, "sots-indoor", tmp_path / "root", tmp_path / "out")
    rows = shards.rows("test", "degraded").tolist()
    assert [shards.name(row) for row in rows] == ["1400-01", "1400-02", "1400-03"]
    assert [gray(shards, row) for row in rows] == [121, 122, 123]  # _1, _2, _10


def test_files_are_kept_as_they_are(restore, tmp_path):
    root = tmp_path / "root"
    grow(root, TREES["reside"])
    save(root / "SOTS/indoor/gt/1400.png", 20, (44, 36))
    Image.open(root / "SOTS/indoor/gt/1400.png").rotate(3).save(root / "SOTS/indoor/gt/1400.png")
    arrays = packed(restore, "reside", root, tmp_path / "arrays")
    files = packed(restore, "reside", root, tmp_path / "files", "--store", "files")
    assert len(arrays.index.members) == len(files.index.members) == 7
    for row in range(7):
        assert torch.equal(arrays.read(row), files.read(row))
        assert files.size(row) == arrays.size(row) == (16, 24)
    with tarfile.open(next((tmp_path / "files").glob("test_indoor-*.tar"))) as tar:
        kept = {member.name: tar.extractfile(member).read() for member in tar}
    assert kept == {
        "1400.clean.png": (root / "SOTS/indoor/gt/1400.png").read_bytes(),
        "1400.degraded.png": (root / "SOTS/indoor/hazy/1400_1.png").read_bytes(),
    }


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "clear/1.png").unlink(), "has no clean image"),
        (lambda root: (root / "hazy/2_1_0.9.png").unlink(), "clear/2.png has no degraded image ("),
        (lambda root: save(root / "hazy/2_1_0.9.png", 9, (24, 17)), "sizes differ: "),
        (lambda root: (root / "hazy/2_1_0.9.png").write_text("x"), "2_1_0.9.png cannot be read as an image"),
        (lambda root: save(root / "hazy/cat.png", 9), "hazy/cat.png fits no name of reside-its"),
        (lambda root: save(root / "clear/2.jpg", 9), "are clean images of one name"),
        (
            lambda root: huge(root / "hazy/2_1_0.9.png"),
            "2_1_0.9.png cannot be read as an image: its header promises 40000x40000 pixels",
        ),
        (lambda root: cut(root / "hazy/2_1_0.9.png"), "2_1_0.9.png cannot be read as an image: "),
    ],
)
def test_what_does_not_fit_is_named(spoil, message, restore, tmp_path):
    root, out = tmp_path / "root", tmp_path / "out"
    tree = [("train", f"clear/{n}.png", [f"hazy/{n}_1_0.9.png"]) for n in (1, 2, 3)]
    grow(root, tree)
    spoil(root)
    code, _, err = restore("shards", "pack", "reside-its", root, out, "--workers", 0)
    assert code == 1
    assert message in err
    assert "--allow-missing 1" in err
    assert not out.exists()
    code, printed, err = restore("shards", "pack", "reside-its", root, out, "--workers", 0, "--allow-missing", 1)
    assert code == 0, err
    assert "left out: " in err
    assert message in err
    expected = 3 if "cat" in message else 2
    assert len(ShardSet(out).rows("train", "degraded")) == expected
    assert f"{expected} train samples" in printed


def huge(path):
    """A PNG whose header says 40,000 x 40,000 pixels."""
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + path.read_bytes()[33:])


def cut(path):
    """Its header is whole, its pixels are not."""
    Image.fromarray(data.coffee()[:16, :24]).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_all_problems_are_named_at_once(restore, tmp_path):
    for folder in ("clear", "hazy"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    for n in range(1, 5):
        for path in (tmp_path / f"root/clear/{n}.png", tmp_path / f"root/hazy/{n}_1_0.9.png"):
            Image.fromarray(data.coffee()).save(path)
    for n in (1, 3, 4):  # their headers are whole
        path = tmp_path / f"root/hazy/{n}_1_0.9.png"
        path.write_bytes(path.read_bytes()[:200_000])
    code, _, err = restore("shards", "pack", "reside-its", tmp_path / "root", tmp_path / "out", "--allow-missing", 2)
    assert code == 1
    assert "3 images cannot be packed" in err
    assert all(f"{n}_1_0.9.png" in err for n in (1, 3, 4))


def test_versions_that_are_missing(restore, tmp_path):
    grow(tmp_path / "root", TREES["ddn"])
    (tmp_path / "root/rain_image/5_7.jpg").unlink()
    code, _, err = restore("shards", "pack", "ddn", tmp_path / "root", tmp_path / "out")
    assert code == 1
    assert "label/5.jpg has 13 of 14 degraded versions" in err


def test_links_to_folders_are_followed_and_hidden_files_are_not_read(tmp_path):
    grow(tmp_path / "elsewhere", TREES["rain12"])
    (tmp_path / "root").mkdir()
    (tmp_path / "root/Rain12").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/rain/._rain-001.png").write_text("of a Mac")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/rain/more").symlink_to(tmp_path / "root")
    samples, problems, unused, *_ = match_folder(layout("rain12"), tmp_path / "root")
    assert ([sample.name for sample in samples], problems, unused) == (["Rain12/001"], [], [])


CHAIR = "OriginalImages/Canon5D2_5_160_3200_chair"


DESK = "OriginalImages/Canon5D2_5_160_6400_desk"


@pytest.mark.parametrize(
    ("name", "split", "clean", "degraded"),
    [
        ("pairs", "test", "test/Rain100L/target/1.png", "test/Rain100L/input/1.png"),
        ("pairs", "val", "data/Valid/gt/1.png", "data/Valid/lq/1.png"),
        ("aio-noise", "train", "denoising/WaterlooED/00001.bmp", None),
        ("aio-noise", "test_bsd68", "denoising/cBSD68/original_png/0000.png", None),
        ("aio-rain", "train", "deraining/RainTrainL/gt/norain-1.png", "deraining/RainTrainL/rainy/rain-1.png"),
        ("aio-rain", "test", "deraining/Rain100L/gt/norain-001.png", "deraining/Rain100L/rainy/rain-001.png"),
        ("aio-haze", "train", "dehazing/RESIDE/clear/0025.jpg", "dehazing/RESIDE/part4/0025_0.8_0.04.jpg"),
        ("aio-haze", "test", "dehazing/SOTS/outdoor/gt/0001.png", "dehazing/SOTS/outdoor/hazy/0001_0.8_0.2.jpg"),
        (
            "aio-blur",
            "train",
            "deblurring/GoPro/crop/train/target_crops/1-2.png",
            "deblurring/GoPro/crop/train/input_crops/1-2.png",
        ),
        ("aio-blur", "test", "deblurring/GoPro/test/target/1.png", "deblurring/GoPro/test/input/1.png"),
        ("aio-low", "train", "llie/LOLv1/Train/target/1.png", "llie/LOLv1/Train/input/1.png"),
        ("aio-low", "test", "llie/LOLv1/Test/target/1.png", "llie/LOLv1/Test/input/1.png"),
        ("cdd11", "train", "cdd11/train/clear/1.png", "cdd11/train/low/1.png"),
        ("clean", "test", "photos/test/b.png", None),
        ("clean", "val", "photos/val/b.png", None),
        ("did-mdn-test", "test", "DID-MDN-test/1.jpg", None),
        ("reside", "train", "ITS/train/ITS_clear/1.png", "ITS/train/ITS_haze/1_1_0.9.png"),
        ("reside-ots", "train", "clear/0005.jpg", "haze/part1/part1/0005_0.8_0.04.jpg"),
        ("polyu", "originals_test", f"{CHAIR}_mean.JPG", f"{CHAIR}_Real.JPG"),
        ("polyu", "train", f"{DESK}_mean.JPG", f"{DESK}_Real.JPG"),
    ],
)  # fmt: skip
def test_other_copies_of_the_folders(name, split, clean, degraded, tmp_path):
    for path in filter(None, (clean, degraded)):
        save(tmp_path / path, 9)
    samples, problems, unused, *_ = match_folder(layout(name), tmp_path)
    assert [(sample.split, problems, unused) for sample in samples] == [(split, [], [])]


def test_two_sets_of_pairs_below_one_split(tmp_path):
    for name in ("Rain100L", "Rain100H"):
        save(tmp_path / f"test/{name}/target/1.png", 9)
        save(tmp_path / f"test/{name}/input/1.png", 9)
    samples, problems, *_ = match_folder(layout("pairs"), tmp_path)
    assert ([sample.name for sample in samples], problems) == (["Rain100H/1", "Rain100L/1"], [])


def test_what_is_not_part_of_the_set_is_said(restore, tmp_path):
    grow(tmp_path / "root", TREES["gopro"])
    save(tmp_path / "root/train/GOPR0372_07_00/blur_gamma/000047.png", 9)
    code, _, err = restore("shards", "pack", "gopro", tmp_path / "root", tmp_path / "out", "--workers", 0)
    assert code == 0
    assert "not part of gopro: 1 images in train/GOPR0372_07_00/blur_gamma" in err
    grow(tmp_path / "rain", TREES["rain100l"])
    for name in ("rainregion-2.png", "rainstreak-2.png"):
        save(tmp_path / "rain/RainTrainL" / name, 9)
    samples, problems, *_ = match_folder(layout("rain100l"), tmp_path / "rain")
    assert (len(samples), problems) == (3, [])
    for name in ("img_001_SRF_2_HR.png", "img_001_SRF_2_LR.png", "img_001_SRF_2_bicubic.png", "LR_bicubic/X2/a.png"):
        save(tmp_path / "set5" / name, 9)
    samples, problems, *_ = match_folder(layout("set5"), tmp_path / "set5")
    assert ([sample.name for sample in samples], problems) == (["img_001_SRF_2_HR"], [])


def test_one_bad_version_does_not_take_the_others_with_it(restore, tmp_path):
    grow(tmp_path / "root", TREES["sots-indoor"])
    (tmp_path / "root/hazy/1400_2.png").write_text("no image")
    words = ("shards", "pack", "sots-indoor", tmp_path / "root", tmp_path / "out", "--workers", 0)
    assert restore(*words)[0] == 1
    assert restore(*words, "--allow-missing", 1)[0] == 0
    shards = ShardSet(tmp_path / "out")
    assert [gray(shards, row) for row in shards.rows("test", "degraded").tolist()] == [121, 123]


def test_the_number_that_may_be_missing_counts_all(restore, tmp_path):
    for folder in ("clear", "hazy"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    for n in range(1, 5):
        for path in (tmp_path / f"root/clear/{n}.png", tmp_path / f"root/hazy/{n}_1_0.9.png"):
            Image.fromarray(data.coffee()).save(path)
    (tmp_path / "root/clear/1.png").unlink()
    for n in (2, 3):
        path = tmp_path / f"root/hazy/{n}_1_0.9.png"
        path.write_bytes(path.read_bytes()[:200_000])
    words = ("shards", "pack", "reside-its", tmp_path / "root", tmp_path / "out", "--workers", 0)
    code, _, err = restore(*words, "--allow-missing", 1)
    assert code == 1
    assert "--allow-missing 3" in err
    assert restore(*words, "--allow-missing", 3)[0] == 0
    assert len(ShardSet(tmp_path / "out").index.samples) == 1


def test_degraded_images_of_one_name_are_ambiguous(tmp_path):
    grow(tmp_path, [("train", "clean/a.png", ["degraded/a.png", "degraded/a.jpg"])])
    save(tmp_path / "clean/b.png", 9)
    save(tmp_path / "degraded/b.png", 9)
    samples, problems, *_ = match_folder(layout("pairs"), tmp_path)
    assert [sample.name for sample in samples] == ["b"]
    assert problems == ["degraded/a.png and degraded/a.jpg are degraded images of one name"]


def test_a_test_folder_is_not_packed_as_training_images(restore, tmp_path):
    """Published: test/derain/Rain100L/input and target; the folder that says test lies above ROOT."""
    grow(tmp_path / "data", [("test", "test/derain/Rain100L/target/1.png", ["test/derain/Rain100L/input/1.png"])])
    for root in ("test", "test/derain", "test/derain/Rain100L"):
        samples, problems, *_ = match_folder(layout("pairs"), tmp_path / "data" / root)
        assert ([sample.split for sample in samples], problems) == (["test"], [])
    code, printed, _ = restore(
        *("shards", "pack", "pairs", tmp_path / "data/test/derain", tmp_path / "out", "--split", "train")
    )
    assert code == 0
    assert "1 train samples" in printed


def test_named_versions_are_sets_of_their_own(restore, tmp_path):
    grow(tmp_path / "root", TREES["cdd11"])
    shards = packed(restore, "cdd11", tmp_path / "root", tmp_path / "out")
    assert sorted(shards.versions("train")) == ["low", "low_haze_rain"]
    (row,) = shards.rows("train", "low_haze_rain").tolist()
    assert shards.factors(row) == ("low", "haze", "rain")
    data = RestorationData({"haze": FactorConfig(), "snow": FactorConfig()}, root=str(tmp_path / "out"))
    data.setup("test")
    (scored,) = data.test_sets
    assert (scored.name, scored.factor, scored.protocols) == ("CDD-11 haze_snow", "haze_snow", ("aio-rgb",))
    assert known_set(scored.name) in table("cdd-11").sets
    (tmp_path / "root/CDD-11_train/low/000001.png").write_text("no image")
    samples, *_ = match_folder(layout("cdd11"), tmp_path / "root")
    assert [sample.versions for sample in samples] == [("low_haze_rain",), ("haze_snow",)]


@pytest.fixture
def ots(tmp_path):
    """Two clean images with two hazy ones each, and a clean one without."""
    clean, hazy = "Train/Dehaze/original", "Train/Dehaze/synthetic/part1"
    tree = [("train", f"{clean}/{n}.jpg", [f"{hazy}/{n}_0.8_0.04.jpg", f"{hazy}/{n}_1_0.2.jpg"]) for n in (1, 2)]
    grow(tmp_path, [*tree, ("train", f"{clean}/3.jpg", [])])
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("synthetic/part1/1_0.8_0.04.jpg\n\n./synthetic/part1/2_1_0.2.jpg", {"1": 1, "2": 1}),
        ("1.jpg\n", {"1": 2}),
        ("original/2.JPG|synthetic/part1/2_1_0.2.jpg\n", {"2": 1}),
        ("2.jpg 2_1_0.2.jpg\n1_1_0.2", {"1": 1, "2": 1}),
    ],
)
def test_a_list_of_images(text, expected, ots):
    (ots / "list.txt").write_text(text)
    samples, problems, *_ = match_folder(layout("aio-haze"), ots, image_list=ots / "list.txt")
    assert problems == []
    assert {Path(sample.name).name: len(sample.degraded) for sample in samples} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.jpg\n4_0.8_0.04.jpg\n", "list.txt, line 2: there is no image 4_0.8_0.04.jpg"),
        ("1_0.8_0.04.jpg fog\n", "list.txt, line 1: there is no image 1_0.8_0.04.jpg fog"),
        ("1.jpg\n3.jpg\n", "original/3.jpg is named, but no degraded image of it; mend"),
        ("1_0.8_0.04.jpg\n3.jpg\n", "original/3.jpg is named, but no degraded image of it; mend"),
        ("5_0.8_0.04.jpg\n", "synthetic/part1/5_0.8_0.04.jpg has no clean image"),
        ("rain/1.jpg\n", "no image rain/1.jpg; name images by the ends of their paths, such as Train/"),
        ("\n", "list.txt names no images"),
        (None, "list.txt cannot be read as a list of images: No such file"),
    ],
)
def test_what_a_list_names_wrongly(text, message, ots, restore):
    save(ots / "Train/Dehaze/synthetic/part1/5_0.8_0.04.jpg", 9)
    if text is not None:
        (ots / "list.txt").write_text(text)
    code, _, err = restore("shards", "pack", "aio-haze", ots, ots / "out", "--list", ots / "list.txt", "--workers", 0)
    assert code in (1, 2)
    assert message in err
    assert not (ots / "out").exists()


def test_lists_of_a_layout(restore, tmp_path):
    """RealBlur's own lists say what is for training; without them nothing does."""
    grow(tmp_path, TREES["realblur-r"], LISTS["realblur-r"])
    train = tmp_path / "RealBlur_R_train_list.txt"
    train.write_text(train.read_text() + "RealBlur-R_BM3D/scene009/gt/gt_1.png\n")
    _, problems, *_ = match_folder(layout("realblur-r"), tmp_path)
    assert problems == [f"{train}, line 2: there is no image RealBlur-R_BM3D/scene009/gt/gt_1.png"]
    train.unlink()
    with pytest.raises(UserError, match=r"there is no list RealBlur_R_train_list.txt, which says what RealBlur-R_"):
        match_folder(layout("realblur-r"), tmp_path)
    _, problems, unused, *_ = match_folder(layout("realblur-j"), _test_pair(tmp_path / "J"))
    assert (problems, unused) == ([], [])  # Restormer's folders need none


def _test_pair(root):
    for kind in ("input", "target"):
        save(root / f"RealBlur_J/{kind}/scene003_1.png", 9)
    return root
