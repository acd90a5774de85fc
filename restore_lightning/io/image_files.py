"""Image files: read as arrays, with what they carry beside pixels. Imports neither torch nor what needs it."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from restore_lightning.errors import UserError
from restore_lightning.io import exif, png, tiff
from restore_lightning.io.pixel_decoding import Source, decode, rewound, split_upright

FORMATS = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif", ".hif"),  # of iPhones; needs pillow-heif
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    "MPO": (".mpo",),
    "PCX": (".pcx",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
    "TGA": (".tga",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""What photographs are kept in. Pillow's other formats are left alone: some start programs, or reach out for files."""
HEIF = frozenset(FORMATS["HEIF"])
SAFE_PIXELS = 2**28
"""No header's promise of so few exhausts a machine."""
PIXELS_PER_BYTE = 100
"""More than photographs reach, by five times; images of one colour do."""

# Pillow knows neither the file's size nor who asks; `_check_pixels` refuses in its place.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**26  # colour profiles of printers exceed its 1 MiB
# What is wrong with a file is said once, by us.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_readable = {suffix for suffixes in FORMATS.values() for suffix in suffixes}
try:
    from pillow_heif import register_heif_opener

    register_heif_opener()
except ImportError:
    _readable -= HEIF
SUFFIXES = frozenset(_readable)
"""Of the images that can be read here."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Photo:
    """An image, held upright, and what its file carries beside the pixels.

    Args:
        pixels: (H, W, 3), or (H, W, 1) of a gray one; uint8, or uint16 where the file has more than 8 bits.
        alpha: (H, W) opacity of the same type; None: the file has none.
        icc: The colour profile that the pixels are in.
        exif: EXIF, without JPEG's prefix, orientation 1.
        xmp: XMP.
        dpi: Pixels per inch, across and down.
        pictures: How many frames or pages the file holds; these are the pixels of the first.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    pictures: int = 1

    @property
    def gray(self) -> bool:
        """Whether there is no colour."""
        return self.pixels.shape[2] == 1


def read_photo(file: Source, name: str | None = None, max_pixels: int | None = None) -> Photo:
    """Read an image file with all that it carries.

    Palettes become the colours they stand for, gray where all are; CMYK becomes sRGB, by its profile where it has one.

    Args:
        file: The file, or its content.
        name: What messages call it; None: its path.
        max_pixels: A header that promises more is refused; None: more than the file's size makes likely.

    Raises:
        UserError: The file is no image, is damaged, too large for the memory, or its header promises too much.
    """
    return _with_image(file, name, max_pixels, _photo, lambda found: _of_tiff(found, file))


def read_array(file: Source, name: str | None = None) -> np.ndarray:
    """An image file as (H, W, 3) uint8, held upright; of 16 bits the upper 8, without alpha. Raises as `read_photo`."""

    def read(image: Image.Image, source: Source) -> np.ndarray:
        colours = decode(image, source, deep=False)
        return split_upright(colours, 1 if image.format == "TIFF" else exif.orientation(_exif_of(image)))[0]

    pixels = _with_image(file, name, None, read, lambda found: split_upright(found.colours(), found.orientation)[0])
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


class Header(NamedTuple):
    """What a file says of its image.

    Args:
        height: In pixels, held upright.
        width: In pixels, held upright.
        pictures: How many frames or pages the file holds.
    """

    height: int
    width: int
    pictures: int = 1


def read_header(path: str | Path, max_pixels: int | None = None) -> Header:
    """What an image file says of itself, without its pixels.

    Args:
        path: The file.
        max_pixels: As in `read_photo`.

    Raises:
        UserError: The file is no image.
    """

    def read(image: Image.Image, source: Source) -> Header:
        width, height = image.size
        # A PNG's entry can lie behind its pixels, and is not worth decoding them; Pillow turns TIFF's itself.
        turned = image.format != "TIFF" and exif.orientation(image.info.get("exif")) >= 5
        pictures = getattr(image, "n_frames", 1)
        return Header(width, height, pictures) if turned else Header(height, width, pictures)

    return _with_image(path, None, max_pixels, read, lambda page: Header(*page.shape, page.pictures))


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of an image file from its header, held upright; raises as `read_header`."""
    return read_header(path)[:2]


def _with_image(
    file: Source,
    name: str | None,
    max_pixels: int | None,
    use: Callable[[Image.Image, Source], Found],
    use_tiff: Callable[[tiff.Page], Found],
) -> Found:
    """What `use` makes of an image file, or `use_tiff` of one of the kinds that Pillow cannot read.

    Raises:
        UserError: Whatever a decoder raises, too little memory, and a header that promises too much.
    """

    def opened(source: Source) -> Found:
        with Image.open(rewound(source), formats=[kind for kind in FORMATS if kind in known]) as image:
            _check_pixels(*image.size, file, max_pixels)
            tiff.check_pillow_reads(image)
            return use(image, source)

    Image.init()
    known = Image.OPEN
    try:
        try:
            return opened(file)
        except (_TooManyPixelsError, MemoryError):
            raise
        except Exception:
            # Texts or a profile beyond Pillow's limits, and kinds of TIFF: the pixels are there all the same.
            if (texts_removed := png.without_texts(rewound(file))) is not None:
                return opened(texts_removed)
            with tiff.page_of(rewound(file)) as page:
                if page is None:
                    raise
                height, width = page.shape
                _check_pixels(width, height, file, max_pixels)
                return use_tiff(page)
    except MemoryError as error:
        raise UserError(f"{name or file} {too_large(error)}", exit_code=1) from error
    except Exception as error:
        what = " ".join(str(error).split()) or type(error).__name__
        # Pillow repeats the path.
        what = "it is no image of a kind that is known" if isinstance(error, UnidentifiedImageError) else what
        if "truncated" in what.lower():  # and how many bytes its decoder had not used yet
            what = "its end is missing, as of a copy that was broken off; fetch it again"
        raise UserError(f"{name or file} cannot be read as an image: {what}", exit_code=1) from error


def too_large(error: Exception) -> str:
    """What is said of an image that is read or written as a whole, and does not fit into memory.

    >>> too_large(MemoryError())
    'is too large for the memory that is free: make it smaller, or end other programs'
    """
    what = " ".join(str(error).split())
    return f"is too large for the memory that is free: make it smaller, or end other programs{what and f' ({what})'}"


class _TooManyPixelsError(ValueError):
    """A header promises too much."""


def _check_pixels(width: int, height: int, file: Source, most: int | None) -> None:
    """Refuse files made to exhaust the memory, and those without pixels."""
    if min(width, height) < 1:
        raise ValueError(f"its header promises {width}x{height} pixels")
    if most is None:
        size = Path(file).stat().st_size if isinstance(file, str | Path) else file.seek(0, 2)
        most = max(SAFE_PIXELS, PIXELS_PER_BYTE * size)
    if width * height > most:
        raise _TooManyPixelsError(
            f"its header promises {width}x{height} pixels, more than {most}: if that is true, restore apply and score"
            f" read it by --max-pixels {width * height}"
        )


def _photo(image: Image.Image, source: Source) -> Photo:
    pictures = getattr(image, "n_frames", 1)
    colours = decode(image, source, deep=True)
    if image.format == "TIFF":  # which Pillow turns
        way, block = 1, tiff.exif_of(image.getexif())
    else:
        block = _exif_of(image)
        way = exif.orientation(block)
    pixels, alpha = split_upright(colours, way)
    dpi, xmp = image.info.get("dpi"), image.info.get("xmp")
    return Photo(
        pixels,
        alpha,
        None if image.mode == "CMYK" else image.info.get("icc_profile"),
        exif.turned(block, *pixels.shape[:2]),
        exif.turned_xmp(xmp.encode() if isinstance(xmp, str) else xmp),
        _resolution(dpi, way),
        pictures,
    )


def _of_tiff(page: tiff.Page, source: Source) -> Photo:
    pixels, alpha = split_upright(page.colours(), page.orientation)
    entries = tiff.entries_of(rewound(source))
    return Photo(
        pixels,
        alpha,
        page.icc,
        exif.turned(tiff.exif_of(entries), *pixels.shape[:2]),
        exif.turned_xmp(page.xmp),
        _resolution(tiff.resolution_of(entries), page.orientation),
        page.pictures,
    )


def _resolution(dpi: object, way: int) -> tuple[float, float] | None:
    """Pixels per inch of the image held upright; None where the file says nonsense."""
    try:
        across, down = map(float, dpi)  # type: ignore[call-overload]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < across < 2**16 and 0 < down < 2**16):
        return None
    return (down, across) if way >= 5 else (across, down)


def _exif_of(image: Image.Image) -> bytes | None:
    """EXIF as it stands in the file."""
    block = image.info.get("exif")
    if block is None and "Raw profile type exif" in image.info:  # as ImageMagick wrote it into PNG files
        with suppress(ValueError):
            block = bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
    return block
