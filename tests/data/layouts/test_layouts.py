"""Published layouts: each in a tree of its own and on real samples; what does not fit is named."""

import tarfile

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.layouts.layout import layout, layouts
from restore_lightning.data.layouts.matching import match_folder
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.errors import UserError
from restore_lightning.io.images import to_float
from restore_lightning.metrics import protocol

# Layout -> files of one data set: (split, clean file, its degraded files). In alphabetical order, like the samples.
TREES = {
    "pairs": [
        ("train", "train/clean/a.b.png", ["train/degraded/a.b.jpg"]),
        ("test", "test/target/sub/c.png", ["test/input/sub/c.png"]),
    ],
    "gopro": [
        ("test", "test/GOPR0384_11_00/sharp/000001.png", ["test/GOPR0384_11_00/blur/000001.png"]),
        ("train", "train/GOPR0372_07_00/sharp/000047.png", ["train/GOPR0372_07_00/blur/000047.png"]),
    ],
    "hide": [
        ("test_close_ups", "GT/1fromGOPR0950.png", ["test/test-close-ups/1fromGOPR0950.png"]),
        ("test_long_shot", "GT/2fromGOPR0950.png", ["test/test-long-shot/2fromGOPR0950.png"]),
        ("train", "GT/3fromGOPR0950.png", ["train/3fromGOPR0950.png"]),
    ],
    "car": [("test", "sharp/1.png", ["blurred/1.png"])],
    "reside": [
        ("train", "ITS_v2/clear/1.png", ["ITS_v2/hazy/1_1_0.90179.png", "ITS_v2/hazy/1_10_0.97842.png"]),
        ("test_indoor", "SOTS/indoor/gt/1400.png", ["SOTS/indoor/hazy/1400_1.png"]),
        ("test_outdoor", "SOTS/outdoor/gt/0001.png", ["SOTS/outdoor/hazy/0001_0.8_0.2.jpg"]),
    ],
    "reside-its": [("train", "clear/1.png", ["hazy/1_1_0.90179.png", "hazy/1_2_0.97842.png"])],
    "reside-ots": [
        ("train", "OTS_BETA/clear/clear/0005.jpg", ["OTS_BETA/haze/part1/0005_0.8_0.04.jpg"]),
        ("train", "OTS_BETA/clear/clear/0006.jpg", ["OTS_BETA/haze/part2/0006_0.8_0.04.jpg"]),
    ],
    "sots-indoor": [("test", "gt/1400.png", ["hazy/1400_1.png", "hazy/1400_2.png", "hazy/1400_10.png"])],
    "sots-outdoor": [("test", "gt/0001.png", ["hazy/0001_0.8_0.2.jpg"])],
    "durn-reside": [
        ("train", "indoor_train/labels/7.png", ["indoor_train/images/7_1.png", "indoor_train/images/7_10.png"]),
        ("test", "sots_indoor_test/labels/200013.JPG", ["sots_indoor_test/images/200013.JPG"]),
    ],
    "rain1400": [
        ("train", "training/ground_truth/5.jpg", [f"training/rainy_image/5_{i}.jpg" for i in range(1, 15)]),
        ("test", "testing/ground_truth/901.jpg", [f"testing/rainy_image/901_{i}.jpg" for i in range(1, 15)]),
    ],
    "ddn": [
        ("train", "label/5.jpg", [f"rain_image/5_{i}.jpg" for i in range(1, 15)]),
        ("test", "label/711.jpg", [f"rain_image/711_{i}.jpg" for i in range(1, 15)]),  # first of paper 1's list
    ],
    "rain100l": [
        ("train", "rain_data_train_Light/norain/norain-1.png", ["rain_data_train_Light/rain/norain-1x2.png"]),
        ("train", "RainTrainL/norain-2.png", ["RainTrainL/rain-2.png"]),
        ("test", "Rain100L/norain-003.png", ["Rain100L/rainy/rain-003.png"]),
    ],
    "rain100h": [
        ("train", "RainTrainH/norain-1.png", ["RainTrainH/rain-1.png"]),
        ("test", "rain_heavy_test/norain/norain-002.png", ["rain_heavy_test/rain/X2/norain-002x2.png"]),
    ],
    "rain12": [("test", "norain/norain-001.png", ["rain/rain-001.png"])],
    "raindrop": [
        ("train", "train/gt/0_clean.png", ["train/data/0_rain.png"]),
        ("test_a", "test_a/gt/0_clean.png", ["test_a/data/0_rain.png"]),
        ("test_b", "test_b/gt/0_clean.jpg", ["test_b/data/0_rain.jpg"]),
    ],
    "polyu": [
        ("test", "CroppedImages/Canon5D2_chair_14_mean.JPG", ["CroppedImages/Canon5D2_chair_14_real.JPG"]),
        ("train", "OriginalImages/Canon5D2_bag_mean.JPG", ["OriginalImages/Canon5D2_bag_Real.JPG"]),
        ("originals_test", "OriginalImages/Canon5D2_chair_mean.JPG", ["OriginalImages/Canon5D2_chair_Real.JPG"]),
    ],
    "clean": [("train", "train/a.png", []), ("val", "val/sub/b.png", [])],
    "bsd500": [("train", "train/1.jpg", []), ("train", "val/2.jpg", []), ("test", "test/3.jpg", [])],
    "div2k": [("train", "DIV2K_train_HR/0001.png", []), ("val", "DIV2K_valid_HR/0801.png", [])],
    "flickr2k": [("train", "Flickr2K_HR/000001.png", [])],
}  # fmt: skip
CLEAN = ("live1", "set5", "set14", "bsds100", "urban100", "manga109")
TREES |= {name: [("test", "b.png", [])] for name in CLEAN}


def save(path, value, size=(24, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path, **({"quality": 100} if path.suffix != ".bmp" else {}))


def grow(root, tree):
    """Files of one gray each: clean images 20, 40, ..., their degraded versions 101, 102, ... brighter."""
    for number, (_, clean, degraded) in enumerate(tree, start=1):
        save(root / clean, 20 * number)
        for version, path in enumerate(degraded, start=1):
            save(root / path, 100 + 20 * number + version)


def packed(restore, name, root, out, *words):
    code, _, err = restore("shards", "pack", name, root, out, "--workers", 0, *words)
    assert code == 0, err
    code, _, err = restore("shards", "verify", out, "--workers", 0)
    assert code == 0, err
    return ShardSet(out)


def gray(shards, row):
    return int(shards.read(row)[0, 0, 0])


@pytest.mark.parametrize("name", TREES)
def test_each_layout(name, restore, tmp_path):
    tree = TREES[name]
    grow(tmp_path / "root", tree)
    (tmp_path / "root/LICENSE").write_text("not an image")
    shards = packed(restore, name, tmp_path / "root", tmp_path / "out")
    splits = list(dict.fromkeys(split for split, _, _ in tree))
    assert sorted(shards.splits) == sorted(splits)
    for split in splits:
        mine = [(20 * number, len(degraded)) for number, (of, _, degraded) in enumerate(tree, start=1) if of == split]
        clean = sorted(gray(shards, row) for row in shards.rows(split, "clean").tolist())
        assert clean == pytest.approx([value for value, _ in mine], abs=1)  # JPEG
        rows = shards.rows(split, "degraded").tolist()
        found = sorted((gray(shards, row), gray(shards, shards.clean_of(row))) for row in rows)
        pairs = [(100 + value + number, value) for value, count in mine for number in range(1, count + 1)]
        assert np.array(found).reshape(-1, 2) == pytest.approx(np.array(pairs).reshape(-1, 2), abs=1)
        assert len({shards.name(row) for row in rows}) == len(rows)


def test_every_layout_is_tried():
    halves_or_arrays = {"did-mdn", "did-mdn-test", "dcpdn"}
    assert layouts().keys() == TREES.keys() | halves_or_arrays


def test_versions_are_counted_as_people_count(restore, tmp_path):
    grow(tmp_path / "root", TREES["sots-indoor"])
    shards = packed(restore, "sots-indoor", tmp_path / "root", tmp_path / "out")
    rows = shards.rows("test", "degraded").tolist()
    assert [shards.name(row) for row in rows] == ["1400-01", "1400-02", "1400-03"]
    assert [gray(shards, row) for row in rows] == [121, 122, 123]  # _1, _2, _10


def test_halves(restore, tmp_path):
    both = np.concatenate([np.full((10, 12, 3), 200, np.uint8), np.full((10, 12, 3), 50, np.uint8)], axis=1)
    for path in ("Rain_Heavy/train2018new/1.png", "Rain_Light/train2018new/1.png", "test/2.png"):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(both).save(tmp_path / "root" / path)
    shards = packed(restore, "did-mdn", tmp_path / "root", tmp_path / "out")
    assert {split: len(shards.rows(split, "degraded")) for split in shards.splits} == {"train": 2, "test": 1}
    for row in shards.rows("train", "degraded").tolist():
        assert torch.equal(shards.read(row), torch.full((3, 10, 12), 200, dtype=torch.uint8))
        assert torch.equal(shards.read(shards.clean_of(row)), torch.full((3, 10, 12), 50, dtype=torch.uint8))
    Image.new("RGB", (13, 10)).save(tmp_path / "root/test/3.png")
    code, _, err = restore("shards", "pack", "did-mdn", tmp_path / "root", tmp_path / "other")
    assert code == 1
    assert "3.png is 13 pixels wide: two halves need an even width" in err


def test_arrays_of_hdf5(restore, tmp_path):
    """DCPDN's: four arrays, values in [0, 1], kept as they are."""
    rng = np.random.default_rng(0)
    (tmp_path / "root/train512").mkdir(parents=True)
    arrays = {name: rng.random((20, 30, 3)) for name in ("ato", "gt", "haze", "trans")}
    with h5py.File(tmp_path / "root/train512/0.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    for store in ("arrays", "files"):
        shards = packed(restore, "dcpdn", tmp_path / "root", tmp_path / store, "--store", store)
        (row,) = shards.rows("train", "degraded").tolist()
        assert np.array_equal(shards.read(row).numpy(), arrays["haze"].transpose(2, 0, 1).astype(np.float32))
        assert np.array_equal(
            shards.read(shards.clean_of(row)).numpy(), arrays["gt"].transpose(2, 0, 1).astype(np.float32)
        )
    module = RestorationData({"haze": FactorConfig(shards=str(tmp_path / "arrays"), colour="gray")}, crop_size=20)
    module.setup("fit")
    crop = module.training_set[SampleIndex("haze", 0, 0, 0)]["degraded"].numpy()
    gray = (arrays["haze"] @ [0.299, 0.587, 0.114]).astype(np.float32)
    assert any(np.allclose(crop[0], gray[:, left : left + 20], atol=1e-6) for left in range(11))
    with h5py.File(tmp_path / "root/train512/0.h5", "a") as file:
        file["haze"][0, 0, 0] = 2
    code, _, err = restore("shards", "pack", "dcpdn", tmp_path / "root", tmp_path / "other", "--workers", 0)
    assert code == 1
    assert "0.h5: values of haze are not within [0, 1]" in err
    (tmp_path / "root/train512/0.h5").write_text("no HDF5")
    code, _, err = restore("shards", "pack", "dcpdn", tmp_path / "root", tmp_path / "other", "--workers", 0)
    assert code == 1
    assert "0.h5 cannot be read as HDF5" in err


def test_resizing_is_opencvs(restore, tmp_path):
    import cv2

    image = data.astronaut()[:360, :]
    for folder in ("blurred", "sharp"):
        (tmp_path / "root" / folder).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / f"root/{folder}/1.png")
    for size in ((256, 180), (300, 200)):
        shards = packed(restore, "car", tmp_path / "root", tmp_path / str(size), "--size", f"{size[0]}x{size[1]}")
        ours = shards.read(0).permute(1, 2, 0).numpy().astype(int)
        difference = np.abs(ours - cv2.resize(image, size).astype(int))  # OpenCV rounds its weights
        assert difference.max() <= 1
        assert difference.mean() < 0.3


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
        (lambda root: (root / "hazy/2_1_0.9.png").unlink(), "clear/2.png has no degraded image"),
        (lambda root: save(root / "hazy/2_1_0.9.png", 9, (24, 17)), "sizes differ: "),
        (lambda root: (root / "hazy/2_1_0.9.png").write_text("x"), "2_1_0.9.png cannot be read as an image"),
        (lambda root: save(root / "hazy/cat.png", 9), "hazy/cat.png fits no name of reside-its"),
        (lambda root: save(root / "clear/2.jpg", 9), "are clean images of one name"),
        (
            lambda root: huge(root / "hazy/2_1_0.9.png"),
            "2_1_0.9.png cannot be read as an image: Image size (1600000000",
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


def test_kinds_of_pixels(restore, tmp_path):
    """16 bits, gray, palette, alpha, CMYK: all become 8-bit RGB, as every reading does."""
    root, colours = tmp_path / "root", data.coffee()[:16, :24]
    root.mkdir()
    Image.fromarray((np.arange(384).reshape(16, 24) * 170).astype(np.uint16)).save(root / "sixteen.png")
    Image.fromarray(colours).convert("L").save(root / "gray.png")
    Image.fromarray(colours).convert("P").save(root / "palette.png")
    Image.fromarray(colours).convert("RGBA").save(root / "alpha.png")
    Image.fromarray(colours).convert("CMYK").save(root / "cmyk.jpg", quality=100)
    shards = packed(restore, "set5", root, tmp_path / "out")
    images = {shards.name(row): shards.read(row).permute(1, 2, 0).numpy() for row in range(5)}
    assert all(image.shape == (16, 24, 3) and image.dtype == np.uint8 for image in images.values())
    assert np.array_equal(images["alpha"], colours)
    assert np.array_equal(images["gray"][..., 1], np.asarray(Image.fromarray(colours).convert("L")))
    assert np.abs(images["cmyk"].astype(int) - colours).mean() < 4
    assert np.array_equal(images["sixteen"][..., 0], (np.arange(384).reshape(16, 24) * 170) >> 8)
    assert np.abs(images["palette"].astype(int) - colours).mean() < 25


def test_a_layout_of_ones_own(restore, tmp_path):
    """DDN's samples: 1rain.jpg beside 1ground_truth.jpg."""
    grow(tmp_path / "root", [("train", "1ground_truth.jpg", ["1rain.jpg"])])
    mine = tmp_path / "mine.yaml"
    mine.write_text("mine:\n  about: rain\n  parts: [{split: train, degraded: '{n}rain', clean: '{n}ground_truth'}]\n")
    shards = packed(restore, mine, tmp_path / "root", tmp_path / "out", "--split", "test")
    assert [shards.name(row) for row in shards.rows("test", "degraded").tolist()] == ["1"]
    for text, message in (
        ("mine: {about: x, parts: [{degraded: '(', clean: 'b', split: train}]}", "unterminated"),
        ("mine: {about: x, parts: [{degraded: 'a', clean: 'b'}]}", "give split, or a field of this name"),
        ("mine: {about: x, parts: [{degraded: 'a', split: train}]}", "give clean, or halves, or arrays"),
        ("mine: {about: x, parts: [{degraded: '{a}', clean: '{b}', split: train}]}", "the clean pattern's b"),
        ("mine: {about: x, parts: [], part: []}", "unexpected keyword argument 'part'"),
        ("a: {about: x, parts: []}\nb: {about: x, parts: []}", "holds 2 layouts"),
        ("[", "cannot be read as a layout"),
    ):
        mine.write_text(text)
        with pytest.raises(UserError, match=message):
            layout(str(mine))


def test_links_to_folders_are_followed_and_hidden_files_are_not_read(tmp_path):
    grow(tmp_path / "elsewhere", TREES["rain12"])
    (tmp_path / "root").mkdir()
    (tmp_path / "root/Rain12").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/rain/._rain-001.png").write_text("of a Mac")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/rain/more").symlink_to(tmp_path / "root")
    samples, problems, unused = match_folder(layout("rain12"), tmp_path / "root")
    assert ([sample.name for sample in samples], problems, unused) == (["Rain12/001"], [], [])


CHAIR = "OriginalImages/Canon5D2_5_160_3200_chair"
DESK = "OriginalImages/Canon5D2_5_160_6400_desk"


@pytest.mark.parametrize(
    ("name", "split", "clean", "degraded"),
    [
        ("pairs", "test", "test/Rain100L/target/1.png", "test/Rain100L/input/1.png"),
        ("pairs", "val", "data/Valid/gt/1.png", "data/Valid/lq/1.png"),
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
    samples, problems, unused = match_folder(layout(name), tmp_path)
    assert [(sample.split, problems, unused) for sample in samples] == [(split, [], [])]


def test_two_sets_of_pairs_below_one_split(tmp_path):
    for name in ("Rain100L", "Rain100H"):
        save(tmp_path / f"test/{name}/target/1.png", 9)
        save(tmp_path / f"test/{name}/input/1.png", 9)
    samples, problems, _ = match_folder(layout("pairs"), tmp_path)
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
    samples, problems, _ = match_folder(layout("rain100l"), tmp_path / "rain")
    assert (len(samples), problems) == (3, [])
    for name in ("img_001_SRF_2_HR.png", "img_001_SRF_2_LR.png", "img_001_SRF_2_bicubic.png", "LR_bicubic/X2/a.png"):
        save(tmp_path / "set5" / name, 9)
    samples, problems, _ = match_folder(layout("set5"), tmp_path / "set5")
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
    samples, problems, _ = match_folder(layout("pairs"), tmp_path)
    assert [sample.name for sample in samples] == ["b"]
    assert problems == ["degraded/a.png and degraded/a.jpg are degraded images of one name"]


def test_sizes_are_checked_before_images_are_resized(shared, restore, tmp_path):
    """The border is cut first; pairs that do not fit are not squeezed until they do."""
    import cv2

    root = shared / "data/RESIDE/SOTS"
    shards = packed(restore, "sots-indoor", root, tmp_path / "out", "--size", "310x230")
    row = int(shards.rows("test", "degraded")[0])
    hazy, clear = (cv2.imread(str(root / name)) for name in ("hazy/1400_1.png", "gt/1400.png"))
    expected = cv2.PSNR(cv2.resize(hazy, (310, 230)), cv2.resize(clear[10:-10, 10:-10], (310, 230)))
    assert psnr(shards, row, "durn-rgb")[0] == pytest.approx(expected, abs=0.02)
    save(tmp_path / "pairs/clean/a.png", 9, (64, 36))
    save(tmp_path / "pairs/degraded/a.png", 9, (36, 64))
    words = ("shards", "pack", "pairs", tmp_path / "pairs", tmp_path / "other", "--size", "32x32", "--workers", 0)
    assert "sizes differ" in restore(*words)[2]
    save(tmp_path / "pairs/degraded/a.png", 9, (32, 18))
    code, _, err = restore(*words)
    assert code == 2
    assert "the clean images are 2 times as large as the degraded ones" in err


@pytest.mark.parametrize(
    "key",
    ["halves: Left", "border: -5", "border: ten", "arrays: [haze]", "versions: many", "test_split: a/b", "ignore: '('"],
)
def test_wrong_keys_of_a_layout(key, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"mine:\n  about: x\n  parts: [{{split: train, degraded: 'd/{{i}}', clean: 'c/{{i}}'}}]\n  {key}\n")
    with pytest.raises(UserError, match="cannot be read as a layout"):
        layout(str(mine))


SAMPLES = {
    "reside": ("RESIDE", {"train": 4, "test_indoor": 4}),
    "sots-indoor": ("RESIDE/SOTS", {"test": 4}),
    "reside-its": ("RESIDE/ITS_v2", {"train": 4}),
    "durn-reside": ("DuRN_RESIDE_layout", {"train": 2, "test": 1}),
    "did-mdn-test": ("DIDMDN_layout", {"test": 9}),
    "rain12": ("Rain12", {"test": 12}),
    "polyu": ("PolyU", {"test": 100}),
    "live1": ("LIVE1", {"test": 29}),
    "set5": ("Set5", {"test": 5}),
    "set14": ("Set14", {"test": 14}),
    "bsd500": ("BSDS500", {"train": 165, "test": 189}),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_real_samples_in_their_published_layouts(name, shared, restore, tmp_path):
    folder, counts = SAMPLES[name]
    shards = packed(restore, name, shared / "data" / folder, tmp_path / "out")
    version = "degraded" if shards.versions(shards.splits[0]) else "clean"
    assert {split: len(shards.rows(split, version)) for split in shards.splits} == counts


def psnr(shards, row, name):
    images = [to_float(shards.read(number))[None] for number in (row, shards.clean_of(row))]
    return float(protocol(name).psnr(*images)), float(protocol(name).ssim(*images))


SOTS = {"1400-01": 14.79, "1400-02": 13.71, "1401-01": 17.87, "1401-02": 16.73}


@pytest.mark.parametrize(
    ("name", "folder", "scored", "expected"),
    [
        ("sots-indoor", "RESIDE/SOTS", "durn-rgb", SOTS),
        ("rain12", "Rain12", "matlab-y", 30.135),
        ("polyu", "PolyU", "durn-rgb", 35.97),
    ],
)  # fmt: skip
def test_the_inputs_scores(name, folder, scored, expected, shared, restore, tmp_path):
    """PROTOCOLS.md's anchors, from the shards."""
    shards = packed(restore, name, shared / "data" / folder, tmp_path / "out")
    scores = {shards.name(row): psnr(shards, row, scored) for row in shards.rows("test", "degraded").tolist()}
    if isinstance(expected, dict):
        assert {image: score for image, (score, _) in scores.items()} == pytest.approx(expected, abs=0.01)
    else:
        assert np.mean([score for score, _ in scores.values()]) == pytest.approx(expected, abs=0.01)
    if name == "rain12":
        assert np.mean([ssim for _, ssim in scores.values()]) == pytest.approx(0.8554, abs=5e-4)


def test_gopros_samples_in_the_official_layout(shared, restore, tmp_path):
    for name in ("Istanbul", "Flower"):
        for kind in ("blur", "sharp"):
            path = tmp_path / f"root/test/{name}/{kind}/000001.png"
            path.parent.mkdir(parents=True)
            path.symlink_to(shared / f"data/GoPro_pairs/{name}_{kind}1.png")
    shards = packed(restore, "gopro", tmp_path / "root", tmp_path / "out")
    scores = {shards.name(row): psnr(shards, row, "durn-rgb")[0] for row in shards.rows("test", "degraded").tolist()}
    assert scores == pytest.approx({"Istanbul/000001": 24.05, "Flower/000001": 25.11}, abs=0.01)
    assert sorted(shards.index.sequences) == ["Flower", "Istanbul"]
