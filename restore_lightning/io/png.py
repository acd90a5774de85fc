"""PNG: files of 16 bits, which Pillow cannot write in colours, and files whose texts are too long for it."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> PNG's number."""
INCH = 0.0254
"""Metres."""
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
ROWS = 256
"""Filtered at once."""


def without_texts(file: str | Path | BinaryIO) -> BytesIO | None:
    """A PNG file's content without texts and colour profile; None: it is no PNG, or has none.

    Of a file of any size that is no PNG, or has no texts, little is read.
    """
    with Path(file).open("rb") if isinstance(file, str | Path) else nullcontext(file) as opened:
        if opened.read(len(SIGNATURE)) != SIGNATURE:
            return None
        chunks = list(_chunks(opened))
        if TEXTS.isdisjoint(kind for kind, _, _ in chunks):
            return None
        left = BytesIO()
        left.write(SIGNATURE)
        for kind, start, length in chunks:
            if kind not in TEXTS:
                opened.seek(start)
                left.write(opened.read(length))
    return left


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk, where it begins and its length; as far as the file is one of chunks."""
    start = len(SIGNATURE)
    while len(head := file.read(8)) == 8 and head[4:].isalpha():
        length, kind = struct.unpack(">I4s", head)
        yield kind, start, 12 + length
        start = file.seek(start + 12 + length)


def write(
    file: BinaryIO,
    pixels: np.ndarray,
    exif: bytes | None,
    icc: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> None:
    """Write a PNG file of 16 bits.

    Args:
        file: To write to.
        pixels: (H, W, C) uint16: gray, gray and alpha, RGB, RGB and alpha.
        exif: Without prefix.
        icc: Colour profile.
        xmp: XMP.
        dpi: Pixels per inch, across and down.
    """
    height, width, channels = pixels.shape

    def chunk(kind: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    file.write(SIGNATURE)
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0))
    if icc:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if dpi:
        chunk(b"pHYs", struct.pack(">IIB", *(round(value / INCH) for value in dpi), 1))
    if xmp:
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    if exif:
        chunk(b"eXIf", exif)
    packing = zlib.compressobj()
    for top in range(0, height, ROWS):
        rows = pixels[top : top + ROWS].astype(">u2").reshape(len(pixels[top : top + ROWS]), -1).view(np.uint8)
        left = 2 * channels
        filtered = np.ones((len(rows), 1 + rows.shape[1]), np.uint8)  # 1: the difference from the pixel on the left
        filtered[:, 1 : 1 + left] = rows[:, :left]
        filtered[:, 1 + left :] = rows[:, left:] - rows[:, :-left]
        if data := packing.compress(filtered.tobytes()):
            chunk(b"IDAT", data)
    chunk(b"IDAT", packing.flush())
    chunk(b"IEND", b"")
