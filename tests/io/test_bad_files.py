"""Files that are no images, are damaged, or promise or need too much: one line each, whatever is wrong."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from restore_lightning.errors import UserError
from restore_lightning.io.image_files import Photo, image_size, read_array, read_header, read_photo
from restore_lightning.io.photo_writing import write_photo
from tests.io.photo_files import bytes_of, exif_block, short


def bomb(width, height, mode="L"):
    """A PNG file of a few bytes whose header promises much."""
    small = bytes_of(Image.new(mode, (1, 1)), "PNG")
    header = small[12:16] + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


def tiff_bomb(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((2, 2), np.uint16), photometric="miniswhite")
    data = bytearray((tmp_path / "x.tif").read_bytes())
    folder = struct.unpack_from("<I", data, 4)[0]
    for place in range(folder + 2, folder + 2 + 12 * struct.unpack_from("<H", data, folder)[0], 12):
        if struct.unpack_from("<H", data, place)[0] in (256, 257):
            struct.pack_into("<HII", data, place + 2, 4, 1, 60_000)
    return bytes(data)


def test_headers_that_promise_too_much(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb(60_000, 60_000))
    (tmp_path / "bomb.tif").write_bytes(tiff_bomb(tmp_path))
    for name in ("bomb.png", "bomb.tif"):
        with pytest.raises(UserError, match=r"bomb\.\w+ cannot be .*: its header promises 60000x60000 pixels, more"):
            read_photo(tmp_path / name)
    for read in (read_array, image_size):
        with pytest.raises(UserError, match="restore apply and score read it by --max-pixels 3600000000"):
            read(tmp_path / "bomb.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "small.png")
    with pytest.raises(UserError, match="promises 30x20 pixels, more than 599"):
        read_photo(tmp_path / "small.png", max_pixels=599)
    assert read_photo(tmp_path / "small.png", max_pixels=600).pixels.shape == (20, 30, 3)


def test_large_files_of_many_pixels_are_read(tmp_path):
    """From the header, as far as it goes without as much memory."""
    (tmp_path / "phone.png").write_bytes(bomb(16_320, 12_240))  # 200 megapixels
    (tmp_path / "panorama.png").write_bytes(bomb(40_000, 20_000) + b"\0" * 8_000_000)
    assert image_size(tmp_path / "phone.png") == (12_240, 16_320)
    assert image_size(tmp_path / "panorama.png") == (20_000, 40_000)


def test_programs_are_not_started(tmp_path):
    """What PostScript says is run by another program; it is no photograph."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image: it is no image of a kind that is known"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.gif", "a.jp2", "a.avif", "a.pgm"])
def test_damaged_files_are_named_whatever_is_wrong(name, tmp_path):
    """Cut at every tenth, and bytes changed: an image or one line, never another error."""
    whole = tmp_path / f"whole-{name}"
    image = Image.fromarray(data.camera()[:40, :50] if name == "a.pgm" else data.coffee()[:40, :50])
    image.save(whole, exif=exif_block((0x0112, 3, 1, short(6)))) if name != "a.pgm" else image.save(whole)
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    lines = []
    for number in range(60):
        spoilt = bytearray(content[: len(content) * (number % 10) // 10] if number < 10 else content)
        for place in rng.integers(0, min(len(spoilt), 400), 4) if number >= 10 else ():
            spoilt[place] = rng.integers(256)
        (tmp_path / name).write_bytes(spoilt)
        for read in (read_photo, read_array, read_header):
            try:
                read(tmp_path / name)
            except UserError as error:
                lines.append(str(error))
    assert len(lines) >= 20
    assert all(line.startswith(f"{tmp_path / name} cannot be read as an image: ") for line in lines)
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_torn_files_are_called_so(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(data.coffee()[:100, :150]).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UserError, match=r"as an image: its end is missing, as of a copy that was broken off; fetch it"):
        read_photo(path)


@pytest.mark.parametrize("start", [b"", b"\x89PNG\r\n\x1a\n", b"II*\0"])
def test_huge_files_that_are_no_images_are_not_read_whole(start, tmp_path):
    """4 GiB without content, which take no room."""
    with (tmp_path / "a.png").open("wb") as file:
        file.write(start)
        file.truncate(2**32)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_photo, read_header):
        with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
            read(tmp_path / "a.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


@pytest.fixture
def little_memory():
    """Room for 256 MiB more than is taken."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.skipif(sys.platform != "linux", reason="its limits of memory")
def test_too_little_memory_is_no_fault_of_the_file(little_memory, tmp_path):
    (tmp_path / "a.png").write_bytes(bomb(16_000, 16_000, "RGB"))
    for read in (read_photo, read_array):
        with pytest.raises(
            UserError, match=r"a\.png is too large for the memory that is free: make it smaller, or end"
        ):
            read(tmp_path / "a.png")
    tall = Photo(np.broadcast_to(np.zeros(3, np.uint8), (16_000, 16_000, 3)))
    with pytest.raises(UserError, match=r"b\.webp cannot be written: the image is too large for the memory"):
        write_photo(tall, tmp_path / "b.webp")
    assert not list(tmp_path.glob("*b*"))


def test_readers_say_nothing_of_their_own(tmp_path):
    """A TIFF file with an entry that is wrong: one line from us, none of tifffile's log."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9, 3), np.uint16), photometric="rgb", datetime=True)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    folder = struct.unpack_from("<I", content, 4)[0]
    struct.pack_into("<H", content, folder + 2 + 2, 99)  # the type of the width
    (tmp_path / "a.tif").write_bytes(content)
    script = "import sys; from restore_lightning.io.image_files import read_photo; read_photo(sys.argv[1])"
    words = [sys.executable, "-c", script, str(tmp_path / "a.tif")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "a.tif cannot be read as an image" in done.stderr
    assert "TiffTag" not in done.stderr
