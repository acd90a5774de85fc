"""`restore apply` on photographs as people have them: nothing lost, and every exception named."""

import os
import signal
import subprocess
import sys
import time
import unicodedata

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from restore_lightning.io.image_files import read_photo
from tests.io.photo_files import exif_block, profile, short


@pytest.fixture
def apply(step_1, restore, tmp_path):
    """Words after the inputs -> exit code, standard output, standard error."""
    return lambda *words: restore("apply", step_1, *words, "--factor", "rain", "--output", tmp_path / "out")


def coffee(height=40, width=50):
    return data.coffee()[:height, :width]


def test_what_a_photo_carries_is_kept(apply, tmp_path):
    exif = b"Exif\0\0" + exif_block((0x0112, 3, 1, short(6)), (0x0110, 2, 4, b"abc\0"))
    image = Image.fromarray(coffee())
    image.save(tmp_path / "a.jpg", exif=exif, icc_profile=profile(), xmp=b"<x/>", dpi=(300, 300))
    alpha = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(np.dstack([coffee(), alpha])).save(tmp_path / "b.webp", lossless=True, icc_profile=profile())
    for form, suffix in (("png", "png"), ("tiff", "tif"), ("same", None)):
        code, _, err = apply(tmp_path / "a.jpg", tmp_path / "b.webp", "--format", form, "--overwrite")
        assert code == 0, err
        first, second = (tmp_path / "out" / f"{name}.{suffix or own}" for name, own in (("a", "jpg"), ("b", "webp")))
        with Image.open(first) as found:
            assert found.size == (40, 50)
            assert (found.getexif().get(0x0112, 1), found.getexif()[0x0110]) == (1, "abc")
            assert found.info["icc_profile"] == profile()
            assert found.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
            xmp = found.info["xmp"]
            assert (xmp.encode() if isinstance(xmp, str) else xmp) == b"<x/>"
        photo = read_photo(second)
        assert np.array_equal(photo.alpha, alpha)
        assert photo.icc == profile()


@pytest.mark.parametrize(("suffix", "form"), [("png", "png"), ("tif", "same"), ("png", "tiff")])
def test_sixteen_bits_stay_sixteen(suffix, form, apply, tmp_path):
    """Beside the same photo in 8 bits: within half a level, and finer than that."""
    deep = cv2.resize(coffee(20, 25), (50, 40), interpolation=cv2.INTER_LINEAR).astype(np.uint16) * 257
    deep = cv2.GaussianBlur(deep, (5, 5), 1)
    cv2.imwrite(str(tmp_path / f"deep.{suffix}"), deep[..., ::-1])
    Image.fromarray((deep / 257).round().astype(np.uint8)).save(tmp_path / "plain.png")
    words = (tmp_path / f"deep.{suffix}", tmp_path / "plain.png", "--format", form, "--precision", "float32")
    code, _, err = apply(*words)
    assert code == 0, err
    written = tmp_path / "out" / f"deep.{'png' if form == 'png' else 'tif'}"
    found = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert found.dtype == np.uint16
    plain = read_photo(tmp_path / "out" / f"plain.{'tif' if form == 'tiff' else 'png'}").pixels
    assert np.abs(found / 257 - plain).max() < 3
    assert len(np.unique(found)) > 2 * len(np.unique(plain))
    code, _, _ = apply(*words[:4], "--overwrite")  # automatic precision is float32 for these
    assert code == 0
    again = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(found, again)


def test_gray_stays_gray(apply, tmp_path):
    gray = data.camera()[:40, :50]
    Image.fromarray(gray).save(tmp_path / "a.png")
    Image.fromarray(gray).convert("P").save(tmp_path / "b.gif")
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "c.tif")
    code, _, err = apply(*(tmp_path / name for name in ("a.png", "b.gif", "c.tif")))
    assert code == 0, err
    for name, mode in (("a", "L"), ("b", "L"), ("c", "I;16")):
        assert Image.open(tmp_path / f"out/{name}.png").mode == mode


def test_formats_and_quality(apply, tmp_path):
    Image.fromarray(coffee(200, 200)).save(tmp_path / "a.png")
    sizes = []
    for quality in ("20", "90"):
        code, _, err = apply(tmp_path / "a.png", "--format", "jpeg", "--quality", quality, "--overwrite")
        assert code == 0, err
        sizes.append((tmp_path / "out/a.jpg").stat().st_size)
    assert sizes[0] < sizes[1] / 2
    assert apply(tmp_path / "a.png", "--format", "webp")[0] == 0
    assert Image.open(tmp_path / "out/a.webp").format == "WEBP"


def test_several_outputs_side_by_side(apply, restore, step_1, tmp_path):
    """In one folder by `--suffix`, also in that of the inputs, where outputs do not become inputs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.png"):
        Image.fromarray(coffee()).save(folder / name)
    for suffix in ("_1", "_2"):
        assert apply(folder, "--suffix", suffix)[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_1.png", "a_2.png", "b_1.png", "b_2.png"]
    words = ("apply", step_1, folder, "--factor", "rain", "--output", folder, "--suffix", "_r")
    assert restore(*words)[0] == 0
    code, out, err = restore(*words, "--overwrite")
    assert code == 0, err
    assert "2 of 2 images restored" in out
    assert sorted(path.name for path in folder.iterdir()) == ["a.jpg", "a_r.png", "b.png", "b_r.png"]


def test_outputs_of_an_earlier_call_are_no_input_in_any_format(restore, step_1, tmp_path):
    """What is left out is said, and done where it is named."""
    for name in ("a.jpg", "b.c.png", "a_r2.png"):
        Image.fromarray(coffee()).save(tmp_path / name)
    words = ("--factor", "rain", "--output", tmp_path, "--suffix", "_r")
    assert restore("apply", step_1, tmp_path, *words)[0] == 0
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"a.jpg", "a_r.png", "a_r2.png", "a_r2_r.png", "b.c.png", "b.c_r.png"}
    for form, suffix in (("jpeg", ".jpg"), ("same", None), ("webp", ".webp")):
        code, out, err = restore("apply", step_1, tmp_path, *words, "--format", form, "--overwrite")
        assert code == 0, err
        assert "3 of 3 images restored" in out
        assert f"{len(there) - 3} files are named as outputs and left out: {tmp_path / 'a_r.'}" in err
        there |= {f"{name}_r{suffix}" for name in ("a", "a_r2", "b.c")} if suffix else set()
        assert {path.name for path in tmp_path.iterdir()} == there
    code, out, err = restore("apply", step_1, tmp_path / "a_r.png", *words)
    assert code == 0, err
    assert (tmp_path / "a_r_r.png").is_file()


def test_an_output_folder_inside_the_input_is_no_input(restore, step_1, tmp_path):
    Image.fromarray(coffee()).save(tmp_path / "a.jpg")
    words = ("apply", step_1, tmp_path, "--factor", "rain", "--output", tmp_path / "restored/new")
    for more in ((), ("--overwrite",)):
        code, out, err = restore(*words, *more)
        assert code == 0, err
        assert "1 of 1 images restored" in out
    assert [path.name for path in (tmp_path / "restored/new").iterdir()] == ["a.png"]


def test_going_on_after_an_interruption(apply, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(coffee()).save(folder / f"{name}.png")
    assert apply(folder / "b.png")[0] == 0
    before = (tmp_path / "out/b.png").stat().st_mtime_ns
    code, out, err = apply(folder, "--skip-existing")
    assert code == 0, err
    assert "2 of 2 images restored" in out
    assert ", 1 there already" in out
    assert (tmp_path / "out/b.png").stat().st_mtime_ns == before
    code, out, _ = apply(folder, "--skip-existing")
    assert (code, "0 of 0 images restored" in out, ", 3 there already" in out) == (0, True, True)
    assert "--skip-existing or another --output" in apply(folder)[2]


def test_what_is_left_out_is_named(apply, tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    image = Image.fromarray(coffee())
    image.save(folder / "pages.tif", save_all=True, append_images=[image, image])
    image.save(folder / "more/film.gif", save_all=True, append_images=[Image.new("RGB", image.size)])
    image.convert("RGBA").save(folder / "clear.png")
    (folder / "notes.txt").touch()
    (folder / ".DS_Store").touch()
    (folder / "again").symlink_to(folder)
    code, out, err = apply(folder, "--format", "same")
    assert code == 0, err
    assert "3 of 3 images restored" in out
    assert f"1 file is no image that can be read: {folder / 'notes.txt'}\n" in err
    several = f"{folder / 'more/film.gif'} (2), {folder / 'pages.tif'} (3)"
    assert f"2 files hold several pictures, the first is taken: {several}\n" in err
    assert f".gif cannot be written, these become .png: {folder / 'more/film.gif'}\n" in err
    assert (tmp_path / "out/more/film.png").is_file()
    code, _, err = apply(folder, "--format", "jpeg")
    assert code == 0
    assert f"transparency not kept, the format does not hold it: {tmp_path / 'out/clear.jpg'}\n" in err


def test_whatever_one_file_does_wrong_the_others_are_done(apply, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Image.fromarray(coffee())
    image.save(folder / "good.png")
    image.save(folder / "turned.jpg", exif=b"Exif\0\0" + exif_block((0x0112, 3, 1, short(6)), (0x011A, 2, 3, b"72\0")))
    (folder / "cut.webp").write_bytes((folder / "good.png").read_bytes()[:300])
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    tifffile.imwrite(folder / "float.tif", coffee().astype(np.float32))
    code, out, err = apply(folder)
    assert code == 1
    assert "2 of 5 images restored" in out
    for name in ("cut.webp", "gone.png", "float.tif"):
        assert f"not restored: {folder / name} cannot be read as an image: " in err
    assert Image.open(tmp_path / "out/turned.png").size == (40, 50)


def test_more_pixels_than_a_file_makes_likely(apply, tmp_path):
    Image.fromarray(coffee()).save(tmp_path / "a.png")
    code, _, err = apply(tmp_path / "a.png", "--max-pixels", 1999)
    assert code == 1
    assert (
        "its header promises 50x40 pixels, more than 1999: if that is true, restore apply and score read it by" in err
    )
    assert apply(tmp_path / "a.png", "--max-pixels", 2000)[0] == 0


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_as_file_systems_allow_them(apply, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    composed = "caf\u00e9"
    names = [os.fsdecode(b"\xff\xe9"), composed, unicodedata.normalize("NFD", composed), "x" * 246, "a b\nc", "-d"]
    for name in names:
        Image.fromarray(coffee()).save(folder / f"{name}.png")
    (folder / os.fsdecode(b"\xff.txt")).touch()
    code, out, err = apply(folder)
    assert code == 0, err
    assert "6 of 6 images restored" in out
    assert "1 file is no image" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{name}.png" for name in names)
    code, _, err = apply(folder, "--suffix", "_much_longer")
    assert code == 1
    assert "xxx_much_longer.png cannot be written: File name too long" in err


WRONG = {
    "quality of png": (("--quality", 90), "--quality 90: png has none, give --format jpeg, webp or same"),
    "quality of tiff": (("--quality", 90, "--format", "tiff"), "--quality 90: tiff has none"),
    "no quality": (("--quality", 0, "--format", "jpeg"), "--quality 0: give 1 to 100"),
    "a folder as suffix": (("--suffix", "/x"), "--suffix /x: give a part of a name, without folders"),
    "both": (("--overwrite", "--skip-existing"), "not allowed with argument"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(case, apply, photos, tmp_path):
    words, message = WRONG[case]
    code, _, err = apply(photos, *words)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_another_input(restore, step_1, tmp_path):
    """b.jpg would become b.png, which is there to be restored."""
    for name in ("b.jpg", "b.png"):
        Image.fromarray(coffee()).save(tmp_path / name)
    before = (tmp_path / "b.png").read_bytes()
    words = ("--factor", "rain", "--output", tmp_path, "--overwrite")
    code, _, err = restore("apply", step_1, tmp_path / "b.jpg", *words)
    assert code == 0, err
    (tmp_path / "b.png").write_bytes(before)
    code, _, err = restore("apply", step_1, tmp_path, "--suffix", "", "--format", "same", *words)
    assert code == 2
    assert "would replace the input" in err
    assert (tmp_path / "b.png").read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_leaves_whole_files_only(step_1, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        Image.fromarray(coffee(200, 200)).save(folder / f"{number:02d}.png")
    words = ["apply", str(step_1), str(folder), "--factor", "rain", "--output", str(tmp_path / "out")]
    process = subprocess.Popen([sys.executable, "-m", "restore_lightning", *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    written = list((tmp_path / "out").iterdir())
    assert 3 <= len(written) < 30
    for path in written:
        assert not path.name.startswith(".")
        assert read_photo(path).pixels.shape == (200, 200, 3)
