"""`restore score` of gray, deep, turned and strangely named files."""

import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from tests.commands.conftest import by_columns, read
from tests.io.photo_files import exif_block, short
from tests.references import by_scikit_image


@pytest.mark.parametrize("protocol", ["durn-rgb", "matlab-y", "jpeg-gray"])
def test_gray_alpha_and_16_bit_files(protocol, restore, images, tmp_path):
    clean = read(images / "clean/a.png")
    gray = np.asarray(Image.fromarray(clean).convert("L"))
    noisy = (gray + np.random.default_rng(1).normal(0, 9, gray.shape)).clip(0, 255).astype(np.uint8)
    files = {"gray": (noisy, gray), "deep": (noisy.astype(np.uint16) * 257, gray.astype(np.uint16) * 257)}
    alpha = np.dstack([read(images / "noisy/a.png"), np.full(clean.shape[:2], 128, np.uint8)])
    for name, (restored, target) in {**files, "alpha": (alpha, clean)}.items():
        for folder, pixels in (("restored", restored), ("target", target)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    words = ("--protocol", protocol, "--json", tmp_path / "out.json")
    code, _, err = restore("score", tmp_path / "restored", tmp_path / "target", *words)
    assert code == 0, err
    found = by_columns(json.loads((tmp_path / "out.json").read_text())["images"])
    of_colours = protocol == "durn-rgb"  # of equal channels the scores of one
    pair = (np.dstack([noisy] * 3), np.dstack([gray] * 3)) if of_colours else (noisy, gray)
    expected = by_scikit_image(*pair, protocol if of_colours else "gray")
    for name in ("gray", "deep"):
        assert found[name] == [pytest.approx(expected[0], abs=1e-6), pytest.approx(expected[1], abs=1e-9)]
    psnr, ssim = by_scikit_image(read(images / "noisy/a.png"), clean, protocol)
    assert found["alpha"] == [pytest.approx(psnr, abs=1e-6), pytest.approx(ssim, abs=1e-9)]


def test_gray_files_are_scored_as_gray(restore, tmp_path):
    """MATLAB's luma is of colours only; a gray file beside a colour one is one of equal channels."""
    noise = np.random.default_rng(0).normal(0, 12, (90, 100))
    clean = data.camera()[:90, :100]
    noisy = (clean + noise).clip(0, 255).astype(np.uint8)
    for name, image in (("clean", clean), ("noisy", noisy)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        Image.fromarray(image).convert("RGB").save(tmp_path / f"{name}-rgb.png")
    found = {}
    for restored, beside in (("noisy", "clean"), ("noisy", "clean-rgb"), ("noisy-rgb", "clean-rgb")):
        words = ("--protocol", "matlab-y", "--json", tmp_path / "scores.json")
        code, _, err = restore("score", tmp_path / f"{restored}.png", tmp_path / f"{beside}.png", *words)
        assert code == 0, err
        found[restored, beside] = json.loads((tmp_path / "scores.json").read_text())["mean"]["psnr"]
    assert found["noisy", "clean"] == pytest.approx(peak_signal_noise_ratio(clean, noisy), abs=1e-6)
    coloured = by_scikit_image(read(tmp_path / "noisy-rgb.png"), read(tmp_path / "clean-rgb.png"), "matlab-y")[0]
    assert found["noisy", "clean-rgb"] == found["noisy-rgb", "clean-rgb"] == pytest.approx(coloured, abs=1e-6)


def mean_of(restore, tmp_path, restored, clean, protocol="durn-rgb", *words):
    code, _, err = restore("score", restored, clean, "--protocol", protocol, "--json", tmp_path / "mean.json", *words)
    assert code == 0, err
    return json.loads((tmp_path / "mean.json").read_text())["mean"]["psnr"]


@pytest.mark.parametrize("suffix", ["png", "gif", "tif"])
def test_gray_palettes_are_scored_as_gray(suffix, restore, tmp_path):
    clean = data.camera()[:90, :100]
    noisy = (clean + np.random.default_rng(0).normal(0, 12, clean.shape)).clip(0, 255).astype(np.uint8)
    for name, image in (("clean", clean), ("noisy", noisy)):
        Image.fromarray(image).convert("P").save(tmp_path / f"{name}.{suffix}")
    found = mean_of(restore, tmp_path, tmp_path / f"noisy.{suffix}", tmp_path / f"clean.{suffix}", "matlab-y")
    assert found == pytest.approx(peak_signal_noise_ratio(clean, noisy), abs=1e-6)


@pytest.mark.parametrize(("bits", "suffix"), [(12, "png"), (10, "png"), (12, "tif"), (16, "png"), (16, "tif")])
def test_values_of_fewer_bits_in_files_of_16(bits, suffix, restore, tmp_path):
    """As scikit-image has it with that range; the protocol's 8 bits add little to so much noise."""
    most = 2**bits - 1
    clean = (data.coffee()[:90, :100] / 255 * most).round().astype(np.uint16)
    noisy = (clean + np.random.default_rng(0).normal(0, most * 0.0237, clean.shape)).clip(0, most).astype(np.uint16)
    for name, image in (("clean", clean), ("noisy", noisy)):
        cv2.imwrite(str(tmp_path / f"{name}.{suffix}"), image[..., ::-1])
    files = tmp_path / f"noisy.{suffix}", tmp_path / f"clean.{suffix}"
    expected = peak_signal_noise_ratio(clean, noisy, data_range=most)
    assert 32 < expected < 33.5
    assert mean_of(restore, tmp_path, *files, "durn-rgb", "--bits", bits) == pytest.approx(expected, abs=0.05)
    if bits < 16:
        assert mean_of(restore, tmp_path, *files) > expected + 5  # of the whole range it is little
        code, _, err = restore("score", *files, "--protocol", "durn-rgb", "--bits", bits - 1)
        assert code == 1
        assert f"noisy.{suffix} holds values up to {noisy.max()}: more than --bits {bits - 1} has" in err
    code, _, err = restore("score", *files, "--protocol", "durn-rgb", "--bits", 8)
    assert code == 2
    assert "--bits 8: give 9 to 16" in err


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8(restore, images):
    name = os.fsdecode(b"\xff\xe9.png")
    for folder in ("noisy", "clean"):
        (images / folder / "a.png").rename(images / folder / name)
    words = ("--protocol", "durn-y", "--json", images / "out.json", "--csv", images / "out.csv")
    code, out, err = restore("score", images / "noisy", images / "clean", *words)
    assert code == 0, err
    assert "\\udcff\\udce9 " in out
    assert name.removesuffix(".png") in {
        image["name"] for image in json.loads((images / "out.json").read_text())["images"]
    }
    assert "\\udcff" in (images / "out.csv").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_as_file_systems_allow_them(restore, images):
    """Composed in two ways, and of as many letters as there may be."""
    for name, noisy, clean in (("a", "cafe\u0301", "caf\u00e9"), ("b", "x" * 251, "x" * 251)):
        (images / f"noisy/{name}.png").rename(images / f"noisy/{noisy}.png")
        (images / f"clean/{name}.png").rename(images / f"clean/{clean}.png")
    code, out, err = restore("score", images / "noisy", images / "clean", "--protocol", "durn-y")
    assert code == 0, err
    assert "mean of 3 images" in out


def test_a_photo_that_is_turned_and_strange(restore, tmp_path):
    """What cameras say of how they were held counts, whatever else they say."""
    upright = data.coffee()[:40, :60]
    block = exif_block((0x0112, 3, 1, short(8)), (0x011A, 2, 3, b"72\0"))
    Image.fromarray(upright).save(tmp_path / "clean.png")
    Image.fromarray(np.rot90(upright, -1)).save(tmp_path / "turned.png", exif=block)
    assert mean_of(restore, tmp_path, tmp_path / "turned.png", tmp_path / "clean.png") == float("inf")
