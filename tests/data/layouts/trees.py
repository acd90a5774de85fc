"""Trees of small files in every published layout."""

from PIL import Image

from restore_lightning.data.shards.reader import ShardSet

J, R = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref", "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"
SCENE = "Data/0001_001_S6_00100_00060_3200_L"

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
    "realblur-j": [
        ("train", f"{J}/scene001/gt/gt_1.png", [f"{J}/scene001/blur/blur_1.png"]),
        ("test", f"{J}/scene002/gt/gt_1.png", [f"{J}/scene002/blur/blur_1.png"]),
        ("test", "RealBlur_J/target/scene003_1.png", ["RealBlur_J/input/scene003_1.png"]),
    ],
    "realblur-r": [
        ("train", f"{R}/scene001/gt/gt_1.png", [f"{R}/scene001/blur/blur_1.png"]),
        ("test", f"{R}/scene001/gt/gt_2.png", [f"{R}/scene001/blur/blur_2.png"]),
    ],
    "rain200l": [
        ("train", "train/norain/norain-1.png", ["train/rain/norain-1x2.png"]),
        ("test", "test/norain/norain-2.png", ["test/rain/X2/norain-2x2.png"]),
    ],
    "rain200h": [
        ("train", "train/target/1.png", ["train/input/1.png"]),
        ("test", "test/ground_truth/norain-2.png", ["test/rainy_image/rain-2.png"]),
    ],
    "rain13k": [
        ("train", "train/Rain13K/target/1.jpg", ["train/Rain13K/input/1.jpg"]),
        *((f"test_{name.lower()}", f"test/{name}/target/{n}.png", [f"test/{name}/input/{n}.png"])
          for n, name in enumerate(("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200"))),
    ],
    "snow100k": [
        ("train", "all/gt/a_00001.jpg", ["all/synthetic/a_00001.jpg"]),
        *((f"test_{size.lower()}", f"media/test/Snow100K-{size}/gt/{size}.jpg",
            [f"media/test/Snow100K-{size}/synthetic/{size}.jpg"])
          for size in "SML"),
    ],
    "lol": [
        ("train", "our485/high/2.png", ["our485/low/2.png"]),
        ("test", "eval15/high/1.png", ["eval15/low/1.png"]),
    ],
    "sidd": [
        ("train", f"{SCENE}/0001_GT_SRGB_010.PNG", [f"{SCENE}/0001_NOISY_SRGB_010.PNG"]),
        ("train", f"{SCENE}/0001_GT_SRGB_011.PNG", [f"{SCENE}/0001_NOISY_SRGB_011.PNG"]),
        ("val", "val/SIDD/target_crops/1-1.png", ["val/SIDD/input_crops/1-1.png"]),
    ],
    "wed": [("train", "00001.bmp", [])],
    "bsd400": [("train", "train/2018.jpg", []), ("train", "test/3096.jpg", [])],
    "cbsd68": [("test", "original_png/0000.png", [])],
    "aio-noise": [
        ("train", "data/Train/Denoise/00001.bmp", []),
        ("train", "data/Train/Denoise/a2018.jpg", []),
        ("test_bsd68", "test/denoise/bsd68/101085.png", []),
        ("test_urban100", "test/denoise/urban100/img_001.png", []),
        ("test_kodak24", "test/denoise/kodak24/kodim01.png", []),
    ],
    "aio-rain": [
        ("train", "data/Train/Derain/gt/norain-1.png", ["data/Train/Derain/rainy/rain-1.png"]),
        ("test", "test/derain/Rain100L/target/1.png", ["test/derain/Rain100L/input/1.png"]),
    ],
    "aio-haze": [
        ("train", "data/Train/Dehaze/original/0025.jpg",
         ["data/Train/Dehaze/synthetic/part1/0025_0.8_0.04.jpg", "data/Train/Dehaze/synthetic/part1/0025_1_0.2.jpg"]),
        ("test", "test/dehaze/target/0001.png", ["test/dehaze/input/0001_0.8_0.2.jpg"]),
    ],
    "aio-blur": [
        ("train", "data/Train/Deblur/sharp/GOPR0372_07_00_000047.png",
         ["data/Train/Deblur/blur/GOPR0372_07_00_000047.png"]),
        ("test", "test/deblur/gopro/target/1.png", ["test/deblur/gopro/input/1.png"]),
    ],
    "aio-low": [
        ("train", "data/Train/Enhance/gt/2.png", ["data/Train/Enhance/low/2.png"]),
        ("test", "test/enhance/lol/target/1.png", ["test/enhance/lol/input/1.png"]),
    ],
    "cdd11": [
        ("train", "CDD-11_train/clear/000001.png",
         ["CDD-11_train/low/000001.png", "CDD-11_train/low_haze_rain/000001.png"]),
        ("test", "CDD-11_test/clear/000001.png", ["CDD-11_test/haze_snow/000001.png"]),
    ],
}  # fmt: skip


def _list(name, split):
    """RealBlur's own: the clean and the degraded image of a pair in a line."""
    pairs = [(clean, degraded) for of, clean, (degraded,) in TREES[name] if of == split and "_ref/" in clean]
    return "".join(f"{clean} {degraded}\n" for clean, degraded in pairs)


LISTS = {
    f"realblur-{kind.lower()}": {
        f"RealBlur_{kind}_{split}_list.txt": _list(f"realblur-{kind.lower()}", split) for split in ("train", "test")
    }
    for kind in "JR"
}
"""Layout -> text files that belong to its tree."""

CLEAN = ("live1", "set5", "set14", "bsds100", "urban100", "manga109", "kodak24", "mcmaster")


TREES |= {name: [("test", "b.png", [])] for name in CLEAN}


def save(path, value, size=(24, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path, **({"quality": 100} if path.suffix != ".bmp" else {}))


def grow(root, tree, lists=None):
    """Files of one gray each: clean images 20, 40, ..., their degraded versions 101, 102, ... brighter."""
    for number, (_, clean, degraded) in enumerate(tree, start=1):
        save(root / clean, 20 * number)
        for version, path in enumerate(degraded, start=1):
            save(root / path, 100 + 20 * number + version)
    for path, text in (lists or {}).items():
        (root / path).write_text(text)


def packed(restore, name, root, out, *words):
    code, _, err = restore("shards", "pack", name, root, out, "--workers", 0, *words)
    assert code == 0, err
    code, _, err = restore("shards", "verify", out, "--workers", 0)
    assert code == 0, err
    return ShardSet(out)


def gray(shards, row):
    return int(shards.read(row)[0, 0, 0])
