"""Photographs are read with all that they hold, whatever else is in their files."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from skimage import data

from restore_lightning.errors import UserError
from restore_lightning.io.image_files import Header, image_size, read_array, read_header, read_photo
from tests.io.photo_files import bytes_of, exif_block, png_with, profile, short


def channels(photo):
    """Pixels and alpha, (H, W, C)."""
    return photo.pixels if photo.alpha is None else np.concatenate([photo.pixels, photo.alpha[..., None]], axis=2)


def cv_order(image):
    """RGB(A) <-> OpenCV's BGR(A)."""
    return image if image.shape[2] == 1 else image[..., [2, 1, 0, *range(3, image.shape[2])]]


def by_opencv(path, image):
    assert cv2.imwrite(str(path), cv_order(image))


def by_tifffile(**options):
    return lambda path, image: tifffile.imwrite(path, image, **{"photometric": "rgb", **options})


def planes(path, image):
    apart = np.ascontiguousarray(image.transpose(2, 0, 1))
    tifffile.imwrite(path, apart, photometric="rgb", planarconfig="separate")


def alpha_16_bit_png(path, image):
    """Gray and alpha, which OpenCV does not write: no filter, one row after the other."""
    height, width, count = image.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[count], 0, 0, 0)
    blank = b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82"
    path.write_bytes(png_with(blank, (b"IHDR", head), (b"IDAT", zlib.compress(rows)), before=b"IEND"))


def gray_png(values, bits, transparent):
    """(H, W) of values of 1 to 8 bits, W a multiple of 8, one of which is transparent."""
    height, width = values.shape
    rows = (np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:]).tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    blank = b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82"
    chunks = (b"IHDR", head), (b"tRNS", struct.pack(">H", transparent)), (b"IDAT", content)
    return png_with(blank, *chunks, before=b"IEND")


DEEP = {
    "gray.png": (1, by_opencv),
    "rgb.png": (3, by_opencv),
    "rgba.png": (4, by_opencv),
    "gray-alpha.png": (2, alpha_16_bit_png),
    "gray.tif": (1, by_opencv),
    "rgb-lzw.tif": (3, by_opencv),
    "rgba-lzw.tif": (4, by_opencv),
    "little.tif": (3, by_tifffile(byteorder="<")),
    "big.tif": (3, by_tifffile(byteorder=">")),
    "deflated.tif": (3, by_tifffile(compression="zlib", predictor=True)),
    "tiles.tif": (3, by_tifffile(tile=(16, 16))),
    "bigtiff.tif": (3, by_tifffile(bigtiff=True)),
    "planes.tif": (3, planes),
    "alpha.tif": (4, by_tifffile(extrasamples=["unassalpha"])),
    "gray-alpha.tif": (2, by_tifffile(photometric="minisblack", extrasamples=["unassalpha"])),
}


@pytest.mark.parametrize("name", DEEP)
def test_sixteen_bits(name, colours, tmp_path):
    count, write = DEEP[name]
    expected = colours[..., :count]
    write(tmp_path / name, expected)
    photo = read_photo(tmp_path / name)
    assert photo.pixels.dtype == np.uint16
    assert np.array_equal(channels(photo), expected)
    upper = (expected[..., : 3 if count > 2 else 1] >> 8).astype(np.uint8)
    assert np.array_equal(read_array(tmp_path / name), upper if count > 2 else upper.repeat(3, axis=2))
    assert image_size(tmp_path / name) == expected.shape[:2]


def test_white_as_zero_and_other_depths_in_tiff(colours, tmp_path):
    gray = colours[..., 0]
    tifffile.imwrite(tmp_path / "white.tif", gray, photometric="miniswhite")
    assert np.array_equal(read_photo(tmp_path / "white.tif").pixels[..., 0], ~gray)
    tifffile.imwrite(tmp_path / "eight.tif", (gray >> 8).astype(np.uint8), photometric="miniswhite")
    assert np.array_equal(read_photo(tmp_path / "eight.tif").pixels[..., 0], ~(gray >> 8).astype(np.uint8))
    over = np.dstack([colours[..., :3] // 2, np.full_like(gray, 2**15)])  # half of it is opaque
    tifffile.imwrite(tmp_path / "over.tif", over, photometric="rgb", extrasamples=["assocalpha"])
    plain = read_photo(tmp_path / "over.tif")
    assert np.abs(plain.pixels - over[..., :3] * (65535 / 2**15)).max() < 0.51
    for name, values in (("float", gray.astype(np.float32)), ("whole", gray.astype(np.uint32) * 70000)):
        tifffile.imwrite(tmp_path / f"{name}.tif", values)
        with pytest.raises(UserError, match=rf"{name}\.tif cannot be read as an image: .* has no fixed range, convert"):
            read_photo(tmp_path / f"{name}.tif")


@pytest.mark.parametrize("white", [False, True])
def test_tiff_that_pillow_does_not_read_carries_the_same(white, colours, tmp_path):
    kind = {"photometric": "miniswhite"} if white else {"photometric": "rgb", "planarconfig": "separate"}
    pixels = colours[..., 0] if white else np.ascontiguousarray(colours[..., :3].transpose(2, 0, 1))
    tags = [(0x0110, 2, 0, "abc", True), (0x0112, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels, resolution=(300, 150), resolutionunit=2, extratags=tags, **kind)
    photo = read_photo(tmp_path / "a.tif")
    assert photo.pixels.shape[:2] == colours.shape[1::-1]
    assert photo.dpi == pytest.approx((150, 300))
    found = Image.Exif()
    found.load(photo.exif)
    assert (found[0x0110], found.get(0x0112, 1)) == ("abc", 1)


def test_maps_of_sixteen_bits_have_their_full_range(colours, tmp_path):
    gray = colours[..., 0]
    by_opencv(tmp_path / "a.pgm", gray[..., None])
    assert np.array_equal(read_photo(tmp_path / "a.pgm").pixels[..., 0], gray)
    header = f"P5 {gray.shape[1]} {gray.shape[0]} 4095\n".encode()
    (tmp_path / "twelve.pgm").write_bytes(header + (gray >> 4).astype(">u2").tobytes())
    found = read_photo(tmp_path / "twelve.pgm").pixels[..., 0]
    assert np.abs(found / 65535 - (gray >> 4) / 4095).max() < 1e-4


@pytest.mark.parametrize("way", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
def test_every_orientation(way, kind, tmp_path):
    """Beside Pillow's own turning; written EXIF says upright, of the size that it is then."""
    stored = Image.fromarray(data.coffee()[:60, :90])
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = way, "Maker"
    if kind != "TIFF":  # Pillow writes no inner folders into these
        exif[0x8769] = {0xA002: 90, 0xA003: 60}
    options = {"lossless": True} if kind == "WEBP" else {"save_all": True} if kind == "MPO" else {}
    path = tmp_path / f"a.{kind.lower()}"
    stored.save(path, kind, exif=exif, dpi=(300, 150), **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    photo = read_photo(path)
    assert np.array_equal(photo.pixels, expected)
    assert np.array_equal(read_array(path), expected)
    assert image_size(path) == expected.shape[:2]
    found = Image.Exif()
    found.load(photo.exif)
    assert found.get(0x0112, 1) == 1
    assert found[0x010F] == "Maker"
    inner = found.get_ifd(0x8769)
    assert kind == "TIFF" or (inner[0xA003], inner[0xA002]) == expected.shape[:2]
    if kind in ("JPEG", "PNG"):
        assert photo.dpi == pytest.approx((150, 300) if way >= 5 else (300, 150), rel=1e-3)


STRANGE = {
    "resolution as text": (0x011A, 2, 3, b"72\0"),
    "resolution unit as text": (0x0128, 2, 2, b"2\0"),
    "maker as a number": (0x010F, 5, 1, struct.pack("<I", 10**6)),
    "an offset behind the end": (0x010E, 2, 10**6, struct.pack("<I", 10**6)),
    "a type that is none": (0x0132, 77, 3, b"abc"),
    "many values of none": (0x0131, 2, 0, b""),
    "a folder outside": (0x8825, 4, 1, struct.pack("<I", 2**31)),
}


@pytest.mark.parametrize("entry", STRANGE)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_strange_entries_cost_nothing(entry, kind, tmp_path):
    stored = data.coffee()[:40, :60]
    block = exif_block((0x0112, 3, 1, short(6)), STRANGE[entry])
    options = {"lossless": True} if kind == "WEBP" else {}
    exif = b"Exif\0\0" + block if kind == "JPEG" else block
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(bytes_of(Image.fromarray(stored), kind, exif=exif, **options))
    photo = read_photo(path)
    assert photo.pixels.shape == (60, 40, 3)
    if kind != "JPEG":
        assert np.array_equal(photo.pixels, np.rot90(stored, -1))
    assert image_size(path) == (60, 40)
    assert read_array(path).shape == (60, 40, 3)
    assert photo.exif == block.replace(
        struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHIHH", 0x0112, 3, 1, 1, 0)
    )


@pytest.mark.parametrize("entry", ["resolution as text", "resolution unit as text", "a type that is none"])
def test_strange_entries_of_tiff(entry, tmp_path):
    """Here they lie among those that say where the pixels are."""
    pixels = data.coffee()[:40, :60]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", resolution=(72, 72), datetime=True)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    tag, *rest = STRANGE[entry]
    folder = struct.unpack_from("<I", content, 4)[0]
    for place in range(folder + 2, folder + 2 + 12 * struct.unpack_from("<H", content, folder)[0], 12):
        if struct.unpack_from("<H", content, place)[0] == tag:
            struct.pack_into("<HHI4s", content, place, tag, *rest[:2], rest[2].ljust(4, b"\0"))
            break
    else:
        pytest.fail("there is no such entry")
    (tmp_path / "a.tif").write_bytes(content)
    assert np.array_equal(read_photo(tmp_path / "a.tif").pixels, pixels)


def test_what_files_carry(tmp_path):
    image = Image.fromarray(data.coffee()[:20, :30])
    exif = exif_block((0x0112, 3, 1, short(3)), (0x0110, 2, 4, b"abc\0"))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="3" dc:title="\xc3\xa9"/></x:xmpmeta>'
    texts = {"icc_profile": profile(), "dpi": (300, 300)}
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif, xmp=xmp, **texts)
    image.save(tmp_path / "a.webp", exif=exif, xmp=xmp, icc_profile=profile())
    (tmp_path / "a.png").write_bytes(
        png_with(bytes_of(image, "PNG", exif=exif, **texts), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    )
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.asarray(image),
        photometric="rgb",
        iccprofile=profile(),
        resolution=(300, 300),
        extratags=[(700, 1, len(xmp), xmp, True), (0x0110, 2, 0, "abc", True), (0x0112, 3, 1, 3, True)],
    )
    for path in sorted(tmp_path.iterdir()):
        photo = read_photo(path)
        assert photo.icc == profile(), path
        # Of TIFF Pillow removes it.
        assert photo.xmp.replace(b'tiff:Orientation="1"', b"") == xmp.replace(b'tiff:Orientation="3"', b""), path
        found = Image.Exif()
        found.load(photo.exif)
        assert (found[0x0110], found.get(0x0112, 1)) == ("abc", 1), path
        assert path.suffix == ".webp" or photo.dpi == pytest.approx((300, 300), rel=1e-3)


def test_thumbnails_of_the_image_before_go(tmp_path):
    """They are neither turned nor restored; all else stays where it is, as makers' notes need it."""
    block = exif_block((0x0112, 3, 1, short(8, ">")), order=">", inner=[(0x927C, 7, 4, b"note")], thumbnail=True)
    image = Image.fromarray(data.coffee()[:20, :30])
    (tmp_path / "a.png").write_bytes(bytes_of(image, "PNG", exif=block))
    found = read_photo(tmp_path / "a.png").exif
    assert len(found) == len(block)
    assert [at for at in range(len(block)) if found[at] != block[at]] == [8 + 2 + 9, 8 + 2 + 24 + 3]  # way, thumbnail
    assert found.endswith(block[-16:])


@pytest.mark.parametrize("size", [2_000_000, 70_000_000])
@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
@pytest.mark.parametrize("before", ["IDAT", "IEND"])
def test_long_texts_of_png_do_not_cost_the_pixels(size, kind, before, tmp_path):
    if (kind, before) == ("iCCP", "IEND"):
        pytest.skip("profiles come before the pixels")
    image = data.coffee()[:20, :30]
    text = zlib.compress(b"x" * size, 1)
    start = {"zTXt": b"Comment\0\0", "iTXt": b"Comment\0\1\0\0\0", "iCCP": b"mine\0\0"}[kind]
    file = png_with(bytes_of(Image.fromarray(image), "PNG"), (kind.encode(), start + text), before=before.encode())
    (tmp_path / "a.png").write_bytes(file)
    photo = read_photo(tmp_path / "a.png")
    assert np.array_equal(photo.pixels, image)
    assert np.array_equal(read_array(io.BytesIO(file), "a"), image)
    assert image_size(tmp_path / "a.png") == (20, 30)
    if kind == "iCCP" and size == 2_000_000:
        assert len(photo.icc) == size


def test_gray_palettes_are_gray_and_others_are_their_colours(tmp_path):
    gray, coloured = data.camera()[:20, :30], data.coffee()[:20, :30]
    Image.fromarray(gray).convert("P").save(tmp_path / "gray.png")
    Image.fromarray(gray).save(tmp_path / "gray.gif")
    for name in ("gray.png", "gray.gif"):
        assert np.array_equal(read_photo(tmp_path / name).pixels, gray[..., None])
    palette = Image.fromarray(coloured).quantize(20)
    palette.save(tmp_path / "coloured.png")
    palette.save(tmp_path / "coloured.gif")
    for name in ("coloured.png", "coloured.gif"):
        assert np.array_equal(read_photo(tmp_path / name).pixels, np.asarray(palette.convert("RGB")))
    assert read_photo(tmp_path / "coloured.png").alpha is None


def test_transparent_colours(colours, tmp_path):
    rgb, gray = data.coffee()[:20, :30], data.camera()[:20, :30]
    for name, pixels, key in (("rgb", rgb, tuple(map(int, rgb[3, 4]))), ("gray", gray, int(gray[3, 4]))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", transparency=key)
        expected = np.where((np.atleast_3d(pixels) == np.array(key)).all(axis=2), 0, 255)
        assert np.array_equal(read_photo(tmp_path / f"{name}.png").alpha, expected)
    for bits in (1, 2, 4, 8):
        values = np.arange(32, dtype=np.uint8).reshape(4, 8) & (2**bits - 1)
        (tmp_path / "few.png").write_bytes(gray_png(values, bits, transparent=1))
        photo = read_photo(tmp_path / "few.png")
        assert np.array_equal(photo.pixels[..., 0], values * (255 // (2**bits - 1)))
        assert np.array_equal(photo.alpha, np.where(values == 1, 0, 255)), bits
    palette = Image.fromarray(rgb).quantize(20)
    palette.save(tmp_path / "palette.png", transparency=3)
    assert np.array_equal(read_photo(tmp_path / "palette.png").alpha, np.where(np.asarray(palette) == 3, 0, 255))
    by_opencv(tmp_path / "deep.png", colours[..., :3])
    key = colours[2, 5, :3].astype(">u2").tobytes()
    deep = png_with((tmp_path / "deep.png").read_bytes(), (b"tRNS", key))
    (tmp_path / "deep.png").write_bytes(deep)
    photo = read_photo(tmp_path / "deep.png")
    assert np.array_equal(photo.pixels, colours[..., :3])
    assert (photo.alpha == 0).sum() == 1
    assert photo.alpha[2, 5] == 0
    assert photo.alpha[0, 0] == 65535


def test_cmyk_becomes_srgb(tmp_path):
    """By its profile, as the colour engine converts it; without one, nearly."""
    rgb = Image.fromarray(data.coffee()[:20, :30])
    rgb.convert("CMYK").save(tmp_path / "plain.jpg", quality=100)
    rgb.convert("CMYK").save(tmp_path / "plain.tif")
    for name in ("plain.jpg", "plain.tif"):
        photo = read_photo(tmp_path / name)
        assert np.abs(photo.pixels.astype(int) - np.asarray(rgb)).mean() < 4
    rgb.convert("CMYK").save(tmp_path / "broken.jpg", quality=100, icc_profile=profile("CMYK"))
    photo = read_photo(tmp_path / "broken.jpg")
    assert photo.icc is None
    assert np.abs(photo.pixels.astype(int) - np.asarray(rgb)).mean() < 4


def test_cmyk_by_its_profile(tmp_path):
    """A profile whose inks are one gray: only by it comes out what it says."""
    path = tmp_path / "inks.tif"
    inks = np.random.default_rng(0).integers(0, 256, (8, 9, 4), dtype=np.uint8)
    Image.fromarray(inks, "CMYK").save(path, icc_profile=ink_profile())
    with Image.open(path) as image:
        source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        way = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "CMYK", "RGB")
        expected, naive = np.asarray(ImageCms.applyTransform(image, way)), np.asarray(image.convert("RGB"))
    photo = read_photo(path)
    assert np.array_equal(photo.pixels, expected)
    assert np.abs(expected.astype(int) - naive).mean() > 10
    assert photo.icc is None


def ink_profile():
    """CMYK -> Lab by a table of 2 points an axis: lightness falls with the inks, a and b are 0."""
    corners = [
        [sum(1 - axis for axis in (c, m, y, k)) / 4 for k in (0, 1)] for c in (0, 1) for m in (0, 1) for y in (0, 1)
    ]
    values = [round(255 * light) for row in corners for light in row]
    table = b"mft1\0\0\0\0" + struct.pack(">BBBB", 4, 3, 2, 0)
    table += struct.pack(">9i", *(65536 * on for on in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table += bytes(range(256)) * 4 + b"".join(bytes([light, 128, 128]) for light in values) + bytes(range(256)) * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * part) for part in (0.9642, 1, 0.8249)))
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 4) + b"ink\0" + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": white,
        b"A2B0": table,
    }
    place, rows, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        rows += struct.pack(">4sII", name, place + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"\0" * 4, 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + white[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + rows + body


def test_further_frames_and_pages_are_counted(tmp_path):
    image = Image.fromarray(data.coffee()[:20, :30])
    others = [ImageOps.mirror(image), ImageOps.flip(image)]
    for name in ("a.tif", "a.gif", "a.png", "a.webp", "a.avif"):
        image.save(tmp_path / name, save_all=True, append_images=others)
        assert read_photo(tmp_path / name).pictures == 3, name
        assert read_header(tmp_path / name) == Header(20, 30, 3), name
    image.save(tmp_path / "one.png")
    assert read_photo(tmp_path / "one.png").pictures == 1
    assert np.array_equal(read_photo(tmp_path / "a.tif").pixels, np.asarray(image))


def test_other_formats_are_read(tmp_path):
    image = data.coffee()[:20, :30]
    for name, kind in (("a.jfif", "JPEG"), ("a.jp2", "JPEG2000"), ("a.tga", "TGA"), ("a.pcx", "PCX"), ("a.sgi", "SGI")):
        Image.fromarray(image).save(tmp_path / name, kind)
        assert np.abs(read_photo(tmp_path / name).pixels.astype(int) - image).mean() < 4, name
    Image.fromarray(image).save(tmp_path / "a.avif", quality=95, subsampling="4:4:4")
    assert np.abs(read_photo(tmp_path / "a.avif").pixels.astype(int) - image).mean() < 4


def test_heic(tmp_path):
    """As iPhones write it."""
    pytest.importorskip("pillow_heif")
    image = data.coffee()[:64, :96]
    block = exif_block((0x0110, 2, 4, b"abc\0"))
    Image.fromarray(image).save(tmp_path / "a.HEIC", quality=95, exif=block, icc_profile=profile())
    photo = read_photo(tmp_path / "a.HEIC")
    assert np.abs(photo.pixels.astype(int) - image).mean() < 4
    assert (photo.icc, photo.exif) == (profile(), block)
    assert read_header(tmp_path / "a.HEIC") == Header(64, 96)


def test_content_instead_of_files(colours):
    file = io.BytesIO(bytes_of(Image.fromarray(colours[..., 0]), "PNG"))
    assert np.array_equal(read_photo(file, "x").pixels[..., 0], colours[..., 0])
    deep = io.BytesIO(cv2.imencode(".png", cv_order(colours))[1].tobytes())
    assert np.array_equal(channels(read_photo(deep, "x")), colours)
    with pytest.raises(UserError, match=r"^mine cannot be read as an image: "):
        read_array(io.BytesIO(b"no image"), "mine")
