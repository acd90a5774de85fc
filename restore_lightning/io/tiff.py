"""TIFF: the kinds that Pillow reads wrongly or not at all, its EXIF, and files of 8 or 16 bits with what they carry."""

import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image

from restore_lightning.io.exif import Exif

COMPRESSION = 8
"""Deflate."""
BITS, PHOTOMETRIC, ORIENTATION, PLANES, EXTRA, XMP, ICC = 258, 262, 274, 284, 338, 700, 34675
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
PREMULTIPLIED = 1
# What says how pixels are stored, and what is kept beside EXIF.
STRUCTURE = frozenset(
    {254, 255, *range(256, 260), PHOTOMETRIC, 263, 266, 273, 277, 278, 279, 280, 281, 282, 283, PLANES, 292, 293, 296}
    | {
        301,
        317,
        320,
        322,
        323,
        324,
        325,
        330,
        332,
        EXTRA,
        339,
        347,
        *range(512, 522),
        *range(529, 533),
        XMP,
        ICC,
        34377,
    }
)
FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
ROWS = 64
"""Per strip."""

# What is wrong with a file is said once, by us.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def check_pillow_reads(image: Image.Image) -> None:
    """Refuse kinds of TIFF whose 16-bit pixels Pillow takes for others, or gives in 8 bits only.

    Raises:
        ValueError: It is one.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return
    bits = tags.get(BITS, (1,))
    apart = tags.get(PLANES, 1) == 2 and len(bits) > 1
    premultiplied = PREMULTIPLIED in tags.get(EXTRA, ())
    if max(bits) > 8 and (apart or premultiplied or tags.get(PHOTOMETRIC) == WHITE_IS_ZERO):
        raise ValueError("16 bits in separate planes, multiplied by alpha, or with white as 0")


class Page:
    """The first page of a TIFF file, by tifffile."""

    def __init__(self, file: Any) -> None:
        self.page: Any = file.pages[0]
        self.pictures = len(file.pages)

    @property
    def orientation(self) -> int:
        """1 to 8."""
        value = self._tag(ORIENTATION)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), upright."""
        stored = self.page.imagelength, self.page.imagewidth
        return stored[::-1] if self.orientation >= 5 else stored

    @property
    def icc(self) -> bytes | None:
        """The colour profile."""
        return self._tag(ICC)

    @property
    def xmp(self) -> bytes | None:
        """XMP."""
        return self._tag(XMP)

    def colours(self) -> np.ndarray:
        """(H, W, C), as stored: gray, gray and alpha, RGB, RGB and alpha; uint8 or uint16.

        Raises:
            ValueError: Pixels of another kind.
        """
        kind, bits = int(self.page.photometric), int(np.max(self.page.bitspersample))
        if kind not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
            raise ValueError(f"TIFF with {self.page.photometric.name} of {bits} bits, convert it to RGB")
        if self.page.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"TIFF with values of {self.page.dtype} has no fixed range, convert it to 8 or 16 bits")
        if self.page.axes not in ("YX", "YXS", "SYX"):
            raise ValueError(f"TIFF with axes {self.page.axes}, give an image of two dimensions")
        values = self.page.asarray()
        colours = np.moveaxis(values, 0, 2) if self.page.axes == "SYX" else np.atleast_3d(values)
        if 8 < bits < 16:
            colours = colours << (16 - bits) | colours >> (2 * bits - 16)
        if kind == WHITE_IS_ZERO:
            colours = np.concatenate([~colours[..., :1], colours[..., 1:]], axis=2)
        most = 3 if kind == RGB else 1
        if colours.shape[2] > most and PREMULTIPLIED in self.page.extrasamples:
            alpha = colours[..., most : most + 1]
            full = np.iinfo(colours.dtype).max
            plain = np.minimum(colours[..., :most] * (full / np.maximum(alpha, 1)) + 0.5, full)
            colours = np.concatenate([plain.astype(colours.dtype), alpha], axis=2)
        return colours[..., : most + 1]

    def _tag(self, tag: int) -> Any:
        return self.page.tags[tag].value if tag in self.page.tags else None


@contextmanager
def page_of(file: str | Path | BinaryIO) -> Iterator[Page | None]:
    """The first page; None: the file is no TIFF."""
    if isinstance(file, str | Path):
        with Path(file).open("rb") as opened:
            start = opened.read(4)
    else:
        start = file.read(4)
    if start not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        yield None
        return
    from tifffile import TiffFile

    if not isinstance(file, str | Path):
        file.seek(0)
    with TiffFile(file) as pages:
        yield Page(pages)


def entries_of(file: str | Path | BinaryIO) -> Image.Exif:
    """The entries of a TIFF file, whether or not Pillow reads its pixels."""
    found = Image.Exif()
    with suppress(Exception), Path(file).open("rb") if isinstance(file, str | Path) else nullcontext(file) as opened:
        found.load_from_fp(opened)
        list(found.values())  # read while the file is open
        for folder in FOLDERS:
            found.get_ifd(folder)
    return found


def resolution_of(found: Image.Exif) -> tuple[float, float] | None:
    """Pixels per inch, across and down, of a TIFF file's entries."""
    unit = {2: 1.0, 3: 2.54}.get(found.get(296, 2))
    with suppress(TypeError, ValueError, ZeroDivisionError, KeyError):
        return None if unit is None else (float(found[282]) * unit, float(found[283]) * unit)
    return None


def exif_of(found: Image.Exif) -> bytes | None:
    """What a TIFF file says of the photograph, as EXIF; entries of types that Pillow does not know are left out."""
    kept = Image.Exif()
    with suppress(Exception):  # whatever the entries hold, pixels matter more
        for tag, value in list(found.items()):
            if tag in STRUCTURE or tag == ORIENTATION:
                continue
            with suppress(Exception):
                kept[tag] = found.get_ifd(tag) if tag in FOLDERS else value
                try:
                    kept.tobytes()
                except Exception:
                    del kept[tag]
    return kept.tobytes() if len(kept) else None


def write(
    file: BinaryIO,
    pixels: np.ndarray,
    exif: bytes | None,
    icc: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> None:
    """Write a TIFF file, deflated.

    EXIF is a TIFF file without pixels: it comes first, as it is, so that its offsets hold, and its entries are those of
    the file.

    Args:
        file: To write to.
        pixels: (H, W, C) uint8 or uint16: gray, gray and alpha, RGB, RGB and alpha.
        exif: Without prefix.
        icc: Colour profile.
        xmp: XMP.
        dpi: Pixels per inch, across and down.
    """
    block = exif or b"II*\0" + struct.pack("<IHI", 8, 0, 0)
    carried = Exif(block)
    order: Literal["<", ">"] = ">" if carried.order == ">" else "<"
    entries = {tag: entry for tag, entry in carried.entries().items() if tag not in STRUCTURE}
    file.write(block)

    def put(data: bytes) -> int:
        file.write(b"\0" * (file.tell() % 2))
        place = file.tell()
        file.write(data)
        return place

    def entry(tag: int, kind: int, values: tuple[int, ...]) -> None:
        _entry_of(tag, kind, len(values), struct.pack(f"{order}{len(values)}{'HI'[kind - 3]}", *values))

    def _entry_of(tag: int, kind: int, count: int, data: bytes) -> None:
        if len(data) > 4:
            data = struct.pack(order + "I", put(data))
        entries[tag] = struct.pack(order + "HHI", tag, kind, count) + data.ljust(4, b"\0")

    height, width, channels = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    stored = pixels.dtype.newbyteorder(order)
    strips = []
    for top in range(0, height, ROWS):
        rows = pixels[top : top + ROWS]
        rows = np.concatenate([rows[:, :1], np.diff(rows, axis=1)], axis=1)  # wraps around, as the predictor asks
        data = zlib.compress(rows.astype(stored).tobytes())
        strips.append((put(data), len(data)))
    short, long, rational, byte, undefined = 3, 4, 5, 1, 7
    entry(256, long, (width,))
    entry(257, long, (height,))
    entry(BITS, short, (bits,) * channels)
    entry(259, short, (COMPRESSION,))
    entry(PHOTOMETRIC, short, (RGB if channels > 2 else BLACK_IS_ZERO,))
    entry(273, long, tuple(place for place, _ in strips))
    entry(ORIENTATION, short, (1,))
    entry(277, short, (channels,))
    entry(278, long, (ROWS,))
    entry(279, long, tuple(size for _, size in strips))
    entry(PLANES, short, (1,))
    entry(317, short, (2,))  # differences of neighbours
    if channels in (2, 4):
        entry(EXTRA, short, (2,))  # alpha, not multiplied in
    for tag, value in zip((282, 283), dpi or (), strict=False):
        _entry_of(tag, rational, 1, struct.pack(order + "II", round(value * 1000), 1000))
    entry(296, short, (2 if dpi else 1,))
    for tag, kind, content in ((XMP, byte, xmp), (ICC, undefined, icc)):
        if content:
            _entry_of(tag, kind, len(content), content)
    folder = struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    first = put(folder + struct.pack(order + "I", 0))
    file.seek(4)
    file.write(struct.pack(order + "I", first))
