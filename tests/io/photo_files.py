"""Files as cameras, scanners and other programs write them."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms


def exif_block(*entries, order="<", inner=(), thumbnail=False):
    """EXIF by hand: entries of (tag, type, count, 4 bytes), those of the inner folder, a second folder's offset."""
    folder = [*entries]
    size = 8 + 2 + 12 * (len(folder) + bool(inner)) + 4
    if inner:
        folder.append((0x8769, 4, 1, struct.pack(order + "I", size)))

    def packed(rows, following):
        body = b"".join(struct.pack(order + "HHI", *row[:3]) + row[3].ljust(4, b"\0") for row in sorted(rows))
        return struct.pack(order + "H", len(rows)) + body + struct.pack(order + "I", following)

    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    block = start + packed(folder, 8 if thumbnail else 0)
    return block + (packed(inner, 0) if inner else b"")


def short(value, order="<"):
    return struct.pack(order + "H", value)


def profile(space="RGB "):
    """A small colour profile: sRGB, or one that says that it is of another colour space."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[16:20] = space.encode()
    data[24:36] = bytes(12)  # the time
    return bytes(data)


def bytes_of(image, kind, **options):
    """A file's content."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_with(data, *chunks, before=b"IDAT"):
    """A PNG file with further chunks (kind, data)."""
    import zlib

    place = data.index(before) - 4
    further = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return data[:place] + further + data[place:]


def pixels_of(path):
    """What Pillow reads, (H, W, C)."""
    with Image.open(path) as image:
        return np.atleast_3d(np.asarray(image))
