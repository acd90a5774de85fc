"""A folder of 40 photographs as people have them, through every verb that takes one: nothing lost, all named."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from restore_lightning.io.image_files import read_photo
from restore_lightning.io.photo_writing import written_suffix
from tests.conftest import CONF
from tests.io.photo_files import bytes_of, exif_block, png_with, profile, short

SIZE = 72
"""Shortest side: the tests' crops fit."""
FURTHER = {"scans/pages.tif": 3, "web/film.gif": 2, "web/film_png.png": 2, "web/film_webp.webp": 2}
OTHERS = ["archives/readme.txt", "cameras/raw.dng", "phones/film.mov"]


def photographs(root):
    """Write them; their paths."""
    coffee, camera = data.coffee()[:SIZE, :96], data.camera()[100 : 100 + SIZE, 100:196]
    rgb, gray = Image.fromarray(coffee), Image.fromarray(camera)
    deep = coffee[..., ::-1].astype(np.uint16) * 257
    alpha = np.linspace(0, 255, SIZE * 96).reshape(SIZE, 96).astype(np.uint8)
    rgba = Image.fromarray(np.dstack([coffee, alpha]))
    strange = [(0x011A, 2, 3, b"72\0"), (0x0128, 2, 2, b"2\0")]

    def save(name, image, **options):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name, **options)

    for way in (1, 3, 6, 8):
        exif = exif_block((0x0112, 3, 1, short(way)), (0x0110, 2, 4, b"abc\0"), order="<>"[way % 2])
        exif = exif if way % 2 == 0 else exif_block((0x0112, 3, 1, short(way, ">")), order=">")
        save(f"phones/way_{way}.jpg", rgb, exif=b"Exif\0\0" + exif, icc_profile=profile())
    for number, entry in enumerate(strange):
        block = exif_block((0x0112, 3, 1, short(6)), entry)
        save(f"phones/strange_{number}.jpg", rgb, exif=b"Exif\0\0" + block)
        save(f"phones/strange_{number + 2}.png", rgb, exif=block)
    save("phones/several.jpg", rgb, exif=b"Exif\0\0" + exif_block((0x0112, 3, 1, short(3))))
    save("phones/turned.webp", rgb, exif=exif_block((0x0112, 3, 1, short(8))), lossless=True)
    save("phones/new.avif", rgb)
    for name in ("deep.png", "deep_too.tif"):
        (root / "cameras").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "cameras" / name), deep)
    tifffile.imwrite(root / "cameras/planes.tif", deep.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig=2)
    tifffile.imwrite(root / "cameras/big_endian.tif", deep, photometric="rgb", byteorder=">")
    save("cameras/wide.jpg", rgb, icc_profile=profile(), quality=95)
    save("cameras/upper_case.JPG", rgb)
    save("scans/gray.png", gray)
    save("scans/gray_jpeg.jpg", gray)
    save("scans/gray_palette.png", gray.convert("P"))
    save("scans/deep_gray.png", Image.fromarray(camera.astype(np.uint16) * 257))
    save("scans/two_tones.tif", gray.convert("1"), compression="group4")
    save("scans/inks.jpg", rgb.convert("CMYK"))
    save("scans/inks_of_a_press.tif", rgb.convert("CMYK"), icc_profile=profile("CMYK"))
    save("scans/pages.tif", rgb, save_all=True, append_images=[rgb, rgb])
    save("scans/map.pgm", gray)
    save("scans/map_in_colours.ppm", rgb)
    save("screens/clear.png", rgba)
    save("screens/clear_too.webp", rgba, lossless=True)
    save("screens/palette.png", rgb.quantize(30))
    save("screens/palette_too.gif", rgb.quantize(30))
    save("screens/old.bmp", rgb)
    (root / "screens/long_text.png").write_bytes(
        png_with(bytes_of(rgb, "PNG"), (b"tEXt", b"Comment\0" + b"x" * 80_000_000))
    )
    save("web/film.gif", rgb, save_all=True, append_images=[Image.new("RGB", rgb.size)])
    save("web/film_png.png", rgb, save_all=True, append_images=[Image.new("RGB", rgb.size)])
    save("web/film_webp.webp", rgb, save_all=True, append_images=[Image.new("RGB", rgb.size)])
    save("web/saved.jfif", rgb, format="JPEG")
    save("archives/old.jp2", rgb)
    save("archives/older.tga", rgb)
    save("archives/panorama.png", Image.fromarray(np.tile(data.coffee()[:SIZE], (1, 3, 1))))
    for name in (*OTHERS, "phones/.DS_Store", "archives/Thumbs.db", "archives/__MACOSX/x.png", "phones/._way_1.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (root / "archives/again").symlink_to(root / "phones")
    (root / "phones/back").symlink_to(root)
    return sorted(path for path in root.rglob("*") if path.is_file() and not _left_out(path.relative_to(root)))


def _left_out(path):
    hidden = {"Thumbs.db", "__MACOSX", "again", "back"}
    return path.as_posix() in OTHERS or any(part.startswith(".") or part in hidden for part in path.parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("desk") / "photos"
    root.mkdir()
    files = photographs(root)
    return root, [path.relative_to(root).as_posix() for path in files]


def test_there_are_40(folder):
    assert len(folder[1]) >= 40


@pytest.mark.slow
def test_apply(folder, step_1, restore, tmp_path):
    root, names = folder
    words = ("--factor", "rain", "--output", tmp_path, "--suffix", "_r", "--precision", "float32")
    code, out, err = restore("apply", step_1, root, *words, "--format", "same")
    assert code == 0, err
    assert f"{len(names)} of {len(names)} images restored" in out
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == len(names)
    several = ", ".join(f"{root / name} ({count})" for name, count in sorted(FURTHER.items()))
    assert f"{len(FURTHER)} files hold several pictures, the first is taken: {several}\n" in err
    assert f"{len(OTHERS)} files are no images that can be read: {root / OTHERS[0]}" in err
    for name in names:
        before = read_photo(root / name)
        path = tmp_path / name
        written = path.with_name(f"{path.stem}_r{written_suffix(path.suffix)}")
        after = read_photo(written)
        assert after.pixels.shape == before.pixels.shape, name
        assert after.pixels.dtype == before.pixels.dtype, name
        assert (after.alpha is None) == (before.alpha is None), name
        assert before.alpha is None or np.array_equal(after.alpha, before.alpha), name
        assert after.icc == before.icc, name
        most = np.iinfo(before.pixels.dtype).max
        assert np.abs(after.pixels / most - before.pixels / most).mean() < 0.2, name


@pytest.mark.slow
def test_score(folder, restore, tmp_path):
    root, names = folder
    (tmp_path / "copy").symlink_to(root)
    code, out, err = restore("score", tmp_path / "copy", root, "--protocol", "durn-rgb")
    assert code == 0, err
    assert f"{len(names)} of {len(names)} equal the clean image" in out
    assert f"{2 * len(OTHERS)} files are no images that can be read" in err  # by either path
    assert f"{2 * len(FURTHER)} files hold several pictures, the first is taken" in err


@pytest.mark.slow
def test_fit(folder, restore, tmp_path):
    root, names = folder
    words = ("--config", CONF / "single.yaml", "--data.root", root, "--trainer.default_root_dir", tmp_path / "run")
    code, _, err = restore("fit", *words, "--trainer.max_steps", len(names) // 2 + 1)
    assert code == 0, err
    assert f"{len(OTHERS)} files are no images that can be read" in err
    assert f"{len(FURTHER)} files hold several pictures, the first is taken" in err


@pytest.mark.slow
def test_pack(folder, restore, tmp_path):
    root, names = folder
    code, out, err = restore("shards", "pack", "clean", root, tmp_path / "out", "--workers", 0)
    assert code == 0, err
    assert f"{len(names)} train samples, {len(names)} images" in out
    assert f"{len(OTHERS)} files are no images that can be read" in err
    assert f"{len(FURTHER)} files hold several pictures, the first is taken" in err
