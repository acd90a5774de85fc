"""What is taken of a file: halves side by side, arrays in HDF5, resized images, kinds of pixels."""

import h5py
import numpy as np
import torch
from PIL import Image
from skimage import data

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from tests.data.layouts.trees import packed


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
