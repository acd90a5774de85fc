import numpy as np
import pytest
import torch
from PIL import Image

from restore_lightning.errors import UserError
from restore_lightning.io.image_files import image_size
from restore_lightning.io.image_folders import find_images
from restore_lightning.io.images import read_image, to_float, to_uint8, write_image


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


def read(image, path, **options):
    image.save(path, **options)
    assert image_size(path) == tuple(read_image(path).shape[1:])
    return read_image(path).permute(1, 2, 0).numpy()


def test_kinds_of_files(array, tmp_path):
    rgb = Image.fromarray(array)
    assert np.array_equal(read(rgb, tmp_path / "rgb.png"), array)
    assert np.array_equal(read(rgb.convert("RGBA"), tmp_path / "rgba.png"), array)
    gray = read(rgb.convert("L"), tmp_path / "gray.png")
    assert np.array_equal(gray[..., 0], gray[..., 2])
    assert read(rgb.convert("P"), tmp_path / "palette.png").shape == array.shape
    assert read(rgb.convert("CMYK"), tmp_path / "cmyk.jpg").shape == array.shape
    sixteen = Image.fromarray(array[..., 0].astype(np.uint16) * 257)
    assert np.array_equal(read(sixteen, tmp_path / "sixteen.png")[..., 1], array[..., 0])


def test_exif_turns_upright(array, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned clockwise
    upright = read(Image.fromarray(array), tmp_path / "turned.png", exif=exif)
    assert np.array_equal(upright, np.rot90(array, -1))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\nbroken"])
def test_unreadable_files_are_named(content, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    for read_one in (read_image, image_size):
        with pytest.raises(UserError, match=r"x\.png cannot be read as an image"):
            read_one(path)


def test_a_truncated_file_is_refused(array, tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(array.repeat(40, 0).repeat(40, 1)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"cut\.png cannot be read"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_round_trip(array, tmp_path, suffix):
    image = torch.from_numpy(array.transpose(2, 0, 1).copy())
    write_image(image, tmp_path / "new" / f"x{suffix}")
    assert torch.equal(read_image(tmp_path / "new" / f"x{suffix}"), image)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"x{suffix}"]


def test_a_failed_write_leaves_the_old_file(array, tmp_path):
    image = torch.from_numpy(array.transpose(2, 0, 1).copy())
    write_image(image, tmp_path / "x.png")
    before = (tmp_path / "x.png").read_bytes()
    with pytest.raises(Exception, match=r".*"):
        write_image(image.float(), tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == before


def test_bytes_to_numbers_and_back():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_uint8(torch.tensor([-1.0, 0.4999 / 255, 0.5001 / 255, 2.0])).tolist() == [0, 0, 1, 255]


def test_find_images_by_suffix_with_subfolders(tmp_path):
    for name in ("b.PNG", "a/c.jpeg", "a/notes.txt", ".hidden/d.png", ".e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path).images] == ["a/c.jpeg", "b.PNG"]
