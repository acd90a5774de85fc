"""Photographs are written with what they carry, as other programs read it."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage import data

from restore_lightning.io.image_files import Photo, read_photo
from restore_lightning.io.images import photo_tensor, photo_with, to_float, to_integers
from restore_lightning.io.photo_writing import WRITTEN, with_pixels, write_photo, written_suffix
from tests.io.photo_files import exif_block, pixels_of, profile, short

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a dc:title="\xc3\xa9"/></x:xmpmeta>'


def carrying(pixels, alpha=None, space="RGB "):
    exif = exif_block((0x0112, 3, 1, short(1)), (0x0110, 2, 4, b"abc\0"), inner=[(0x927C, 7, 4, b"note")])
    return Photo(pixels, alpha, profile(space), exif, XMP, (300.0, 150.0))


def by_opencv(path):
    image = np.atleast_3d(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    return image if image.shape[2] == 1 else image[..., [2, 1, 0, *range(3, image.shape[2])]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_pixels_by_other_readers(suffix, channels, depth, colours, tmp_path):
    wide = colours.repeat(40, 0).repeat(3, 1)  # several strips, and blocks of rows
    expected = wide[..., :channels] if depth == np.uint16 else (wide[..., :channels] >> 8).astype(np.uint8)
    photo = Photo(expected[..., : channels - channels // 4], expected[..., 3] if channels == 4 else None)
    assert write_photo(photo, tmp_path / f"a{suffix}") == []
    if (suffix, channels, depth) != (".tif", 4, np.uint8):  # OpenCV multiplies these by alpha
        assert np.array_equal(by_opencv(tmp_path / f"a{suffix}"), expected)
    if suffix == ".tif":
        assert np.array_equal(np.atleast_3d(tifffile.imread(tmp_path / "a.tif")), expected)
    with Image.open(tmp_path / f"a{suffix}") as image:
        image.verify()  # checksums


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_gray_with_alpha(depth, colours, tmp_path):
    gray, alpha = (colours[..., channel] for channel in (0, 1))
    if depth == np.uint8:
        gray, alpha = ((values >> 8).astype(np.uint8) for values in (gray, alpha))
    for suffix in (".png", ".tif"):
        write_photo(Photo(gray[..., None], alpha), tmp_path / f"a{suffix}")
        photo = read_photo(tmp_path / f"a{suffix}")
        assert np.array_equal(photo.pixels[..., 0], gray)
        assert np.array_equal(photo.alpha, alpha)
    write_photo(carrying(gray[..., None], alpha, "GRAY"), tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    assert (photo.icc, photo.xmp, photo.dpi) == (profile("GRAY"), XMP, (300.0, 150.0))
    assert b"abc\0" in photo.exif
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), np.dstack([gray, alpha]))
    assert np.array_equal(by_opencv(tmp_path / "a.png")[..., 3], alpha)


CARRIED = {
    ".png": {"deep", "gray", "icc", "exif", "xmp", "dpi", "alpha"},
    ".tif": {"deep", "gray", "icc", "exif", "xmp", "dpi", "alpha"},
    ".webp": {"icc", "exif", "xmp", "alpha"},
    ".avif": {"icc", "exif", "xmp", "alpha"},
    ".jpg": {"gray", "icc", "exif", "xmp", "dpi"},
    ".jfif": {"gray", "icc", "exif", "xmp", "dpi"},
    ".bmp": {"gray", "dpi"},
    ".ppm": {"gray"},
    ".pgm": {"gray"},
}
NAMES = {
    "deep": "more than 8 bits",
    "gray": "gray as one channel",
    "alpha": "transparency",
    "icc": "colour profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "dpi": "resolution",
}


@pytest.mark.parametrize("suffix", CARRIED)
@pytest.mark.parametrize(("gray", "space"), [(False, "RGB "), (True, "GRAY"), (True, "RGB ")])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_is_carried(suffix, gray, space, depth, tmp_path):
    """As Pillow and tifffile read it; what is not in the file is told, all of it."""
    image = data.coffee()[:20, :30].astype(depth) * (257 if depth == np.uint16 else 1)
    alpha = None if gray and depth == np.uint16 else image[..., 0].copy()  # together Pillow reads them of no TIFF
    photo = carrying(image[..., :1] if gray else image, alpha, space)
    path = tmp_path / f"a{suffix}"
    lost = write_photo(photo, path)
    there = {"icc", "exif", "xmp", "dpi"}
    there |= {
        key for key, found in (("alpha", alpha is not None), ("gray", gray), ("deep", depth == np.uint16)) if found
    }
    kept = there & (CARRIED[suffix] | ({"deep"} if gray and suffix in (".ppm", ".pgm") else set()))
    names = dict(NAMES)
    if gray and "icc" in kept and space == "RGB ":
        kept -= {"gray"}  # written as colours
    elif "icc" in kept and gray > ("gray" in kept):
        kept -= {"icc"}
        names["icc"] = "colour profile of other colours"
    assert sorted(lost) == sorted(names[key] for key in there - kept)
    photo = read_photo(path)
    with Image.open(path) as found:
        found.load()
        assert ("A" in found.getbands()) == (photo.alpha is not None) == ("alpha" in kept)
        assert photo.gray == ("gray" in kept)
        assert (photo.pixels.dtype == np.uint16) == ("deep" in kept)
        assert found.info.get("icc_profile") == (profile(space) if "icc" in kept else None)
        exif = found.getexif()
        if "exif" in kept:
            assert (exif[0x0110], exif.get(0x0112, 1)) == ("abc", 1)
            assert exif.get_ifd(0x8769)[0x927C] == b"note"
        assert (0x0110 in exif) == ("exif" in kept)
        xmp = found.info.get("xmp")
        assert (xmp.encode() if isinstance(xmp, str) else xmp) == (XMP if "xmp" in kept else None)
        if "dpi" in kept:
            assert found.info["dpi"] == pytest.approx((300, 150), rel=1e-3)
        assert ("dpi" in found.info) == ("dpi" in kept)
    if suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            assert page.tags[34675].value == profile(space)
            assert (page.bitspersample, page.tags[282].value) == (16 if "deep" in kept else 8, (300_000, 1000))


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_a_resolution_in_exif_is_kept(suffix, tmp_path):
    """These formats have no other place for it."""
    block = exif_block((0x0110, 2, 4, b"abc\0"), (0x011A, 5, 1, (2).to_bytes(4, "little")))
    assert (
        write_photo(Photo(data.coffee()[:20, :30], None, None, block, None, (300.0, 300.0)), tmp_path / f"a{suffix}")
        == []
    )
    with Image.open(tmp_path / f"a{suffix}") as found:
        assert 0x011A in found.getexif()


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_either_byte_order_is_that_of_the_tiff_file(order, colours, tmp_path):
    """Offsets hold, also those of makers' notes that say so of themselves, and tifffile reads the whole."""
    exif = exif_block((0x010F, 2, 4, b"abc\0"), order=order, inner=[(0x927C, 7, 4, b"note")])
    write_photo(Photo(colours[..., :3], None, profile(), exif, XMP, (72.0, 72.0)), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[0]
        assert file.byteorder == order
        assert page.tags[0x010F].value == "abc"
        assert page.tags[34665].value["MakerNote"] == b"note"
        assert page.tags[34675].value == profile()
        assert np.array_equal(page.asarray(), colours[..., :3])
    assert np.array_equal(by_opencv(tmp_path / "a.tif"), colours[..., :3])
    content = (tmp_path / "a.tif").read_bytes()
    assert content[8 : len(exif)] == exif[8:]


def test_profiles_fit_the_colours(tmp_path):
    """Gray under a profile of colours is written as colours, which other programs ask for; others are left out."""
    gray = np.arange(240, dtype=np.uint8).reshape(12, 20, 1)
    assert write_photo(carrying(gray), tmp_path / "a.png") == ["gray as one channel"]
    assert np.array_equal(pixels_of(tmp_path / "a.png"), gray.repeat(3, axis=2))
    assert read_photo(tmp_path / "a.png").icc == profile()
    write_photo(carrying(gray, space="GRAY"), tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").pixels.shape == gray.shape
    assert read_photo(tmp_path / "b.png").icc == profile("GRAY")
    lost = write_photo(carrying(gray.repeat(3, axis=2), space="GRAY"), tmp_path / "c.png")
    assert lost == ["colour profile of other colours"]
    assert read_photo(tmp_path / "c.png").icc is None


def test_what_jpeg_has_no_room_for_is_told(tmp_path):
    pixels = data.coffee()[:20, :30]
    block = exif_block((0x0110, 2, 4, b"abc\0")) + b"\0" * 70_000
    photo = Photo(pixels, None, profile() + b"\0" * 200_000, block, XMP + b" " * 70_000)
    assert write_photo(photo, tmp_path / "a.jpg") == ["EXIF", "XMP"]
    assert len(read_photo(tmp_path / "a.jpg").icc) == len(photo.icc)
    assert write_photo(photo, tmp_path / "a.png") == []
    assert len(read_photo(tmp_path / "a.png").exif) == len(block)
    huge = Photo(pixels, None, profile() + b"\0" * 255 * 65519)
    assert write_photo(huge, tmp_path / "b.jpg") == ["colour profile"]


def test_quality(tmp_path):
    photo = Photo(data.coffee()[:200, :300])
    for suffix in (".jpg", ".webp", ".avif"):
        sizes = []
        for quality in (30, 90, None):
            write_photo(photo, tmp_path / f"a{suffix}", quality)
            sizes.append((tmp_path / f"a{suffix}").stat().st_size)
        assert sizes == sorted(sizes), suffix
        assert sizes[0] < sizes[1] < sizes[2]
    assert np.array_equal(read_photo(tmp_path / "a.webp").pixels, photo.pixels)


def test_every_suffix_is_written(tmp_path):
    photo = Photo(data.camera()[:20, :30, None])
    for suffix in WRITTEN:
        write_photo(photo, tmp_path / f"a{suffix}")
        found = read_photo(tmp_path / f"a{suffix}")
        assert np.abs(found.pixels.astype(int) - photo.pixels).mean() < 3, suffix
    assert [written_suffix(suffix) for suffix in (".JPG", ".gif", ".tiff", ".heic")] == [
        ".JPG",
        ".png",
        ".tiff",
        ".png",
    ]


def test_networks_see_float_and_depth_comes_back(colours):
    for pixels in (colours[..., :3], (colours[..., :3] >> 8).astype(np.uint8), colours[..., :1]):
        photo = carrying(pixels, colours[..., 3])
        image = to_float(photo_tensor(photo))
        assert image.shape == (3, *pixels.shape[:2])
        assert torch.equal(image[-1], torch.from_numpy(pixels[..., -1].astype(np.float32)) / np.iinfo(pixels.dtype).max)
        back = photo_with(photo, to_integers(image, photo_tensor(photo).dtype))
        assert np.array_equal(back.pixels, pixels)
        assert back.pixels.dtype == pixels.dtype
        assert back.alpha is photo.alpha
        assert back.exif == photo.exif
    turned = Photo(np.rot90(colours[..., :3]))
    assert np.array_equal(photo_with(turned, photo_tensor(turned)).pixels, turned.pixels)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 1, 3), (1, 5, 3), (1, 1)])
def test_images_of_single_pixels(shape, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    tensor = photo_tensor(photo)
    tensor += 0  # it can be written to
    assert np.array_equal(photo_with(photo, tensor).pixels, np.atleast_3d(pixels))


def test_gray_stays_gray():
    luma = 0.299 * 50 + 0.587 * 100 + 0.114 * 150
    for depth, scale in ((np.uint8, 1), (np.uint16, 257)):
        photo = Photo(np.full((2, 3, 1), 100 * scale, depth))
        image = np.array([50, 100, 150], depth)[:, None, None] * np.full((1, 2, 3), scale, depth)
        restored = photo_with(photo, torch.from_numpy(image)).pixels
        assert np.array_equal(restored, np.full((2, 3, 1), round(luma * scale), depth))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_alpha_grows_with_the_image(depth):
    """As OpenCV enlarges it, nearly: of a wedge."""
    most = np.iinfo(depth).max
    alpha = np.linspace(0, most, 40).round().astype(depth)[None].repeat(30, axis=0)
    photo = Photo(np.zeros((30, 40, 3), depth), alpha)
    larger = with_pixels(photo, np.zeros((60, 80, 3), depth)).alpha
    assert larger.dtype == depth
    expected = cv2.resize(alpha.astype(np.float64), (80, 60), interpolation=cv2.INTER_CUBIC)
    assert np.abs(larger - expected).max() < most / 100


def test_exif_says_the_size_of_the_larger_image(tmp_path):
    sizes = [(0xA002, 4, 1, (40).to_bytes(4, "little")), (0xA003, 3, 1, short(30))]
    photo = Photo(np.zeros((30, 40, 3), np.uint8), None, None, exif_block((0x0110, 2, 4, b"abc\0"), inner=sizes))
    write_photo(with_pixels(photo, np.zeros((90, 120, 3), np.uint8)), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        inner = image.getexif().get_ifd(0x8769)
    assert (inner[0xA002], inner[0xA003]) == (120, 90)


def test_a_killed_process_leaves_whole_files_only(tmp_path):
    """It dies amid the pixels."""
    script = f"""
import os, numpy as np
from pathlib import Path
from restore_lightning.io import photo_writing, png, tiff
from restore_lightning.io.image_files import Photo

class Rows(np.ndarray):
    def __getitem__(self, key):
        if isinstance(key, slice) and (key.start or 0) > 500:
            os._exit(9)
        return super().__getitem__(key)

pixels = np.zeros((2000, 20, 3), np.uint16).view(Rows)
photo_writing.write_photo(Photo(pixels), Path({str(tmp_path)!r}) / "a%s")
"""
    for suffix in (".png", ".tif"):
        (tmp_path / f"a{suffix}").write_text("before")
        done = subprocess.run([sys.executable, "-c", script % suffix], timeout=120, check=False)
        assert done.returncode == 9
        assert (tmp_path / f"a{suffix}").read_text() == "before"
