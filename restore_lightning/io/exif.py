"""EXIF as bytes: the entries that turning an image changes are read and set in place, all others stay as they are.

Cameras write entries of types that no standard knows, and offsets that only hold where they are; a library that writes
EXIF anew refuses the former and breaks the latter.
"""

import re
import struct

ORIENTATION = 0x0112
EXIF_FOLDER = 0x8769
WIDTH, HEIGHT = 0xA002, 0xA003
PREFIX = b"Exif\0\0"
SHORT, LONG = 3, 4


class Exif:
    """A block of EXIF, which is a TIFF file without pixels.

    Args:
        block: With or without the prefix that JPEG files have.

    Raises:
        ValueError: It is none.
    """

    def __init__(self, block: bytes) -> None:
        self.data = bytearray(block.removeprefix(PREFIX))
        self.order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(self.data[:4]), "")
        if not self.order:
            raise ValueError("no EXIF")

    @property
    def orientation(self) -> int:
        """How the camera was held, 1 (upright) to 8; 1 where it is not said."""
        value = self._number(self._entries(self.first), ORIENTATION)
        return value if value is not None and 1 <= value <= 8 else 1

    @property
    def first(self) -> int:
        """Where the first folder of entries lies."""
        return self._unpack("I", 4) or 0

    def entries(self) -> dict[int, bytes]:
        """The first folder: tag -> its 12 bytes."""
        return {tag: bytes(self.data[place : place + 12]) for tag, place in self._entries(self.first).items()}

    def turned(self, height: int, width: int) -> bytes:
        """The block of the same image held upright, (height, width), without the thumbnail of the one before."""
        first = self._entries(self.first)
        self._set(first, ORIENTATION, 1)
        end = self.first + 2 + 12 * (self._unpack("H", self.first) or 0)
        if first and end + 4 <= len(self.data):
            struct.pack_into(self.order + "I", self.data, end, 0)
        folder = self._number(first, EXIF_FOLDER)
        if folder is not None:
            inner = self._entries(folder)
            self._set(inner, WIDTH, width)
            self._set(inner, HEIGHT, height)
        return bytes(self.data)

    def _entries(self, folder: int) -> dict[int, int]:
        """Tag -> where its entry lies."""
        count = self._unpack("H", folder) or 0
        places = (folder + 2 + 12 * i for i in range(count))
        return {self._unpack("H", place) or 0: place for place in places if place + 12 <= len(self.data)}

    def _number(self, entries: dict[int, int], tag: int) -> int | None:
        """The value of an entry that is a single whole number."""
        if tag not in entries:
            return None
        kind, count = self._unpack("H", entries[tag] + 2), self._unpack("I", entries[tag] + 4)
        if count != 1 or kind not in (SHORT, LONG):
            return None
        return self._unpack("H" if kind == SHORT else "I", entries[tag] + 8)

    def _set(self, entries: dict[int, int], tag: int, value: int) -> None:
        if tag in entries:
            struct.pack_into(self.order + "HHII", self.data, entries[tag], tag, LONG, 1, value)
            if value < 2**16:  # what most programs expect
                struct.pack_into(self.order + "HHIHH", self.data, entries[tag], tag, SHORT, 1, value, 0)

    def _unpack(self, kind: str, place: int) -> int | None:
        if place + struct.calcsize(kind) > len(self.data):
            return None
        return int(struct.unpack_from(self.order + kind, self.data, place)[0])


def orientation(block: bytes | None) -> int:
    """How the camera was held, 1 (upright) to 8; 1 of anything that is no EXIF."""
    try:
        return Exif(block or b"").orientation
    except ValueError:
        return 1


def turned(block: bytes | None, height: int, width: int) -> bytes | None:
    """EXIF of the image held upright, (height, width), without prefix; None of anything that is no EXIF."""
    try:
        return Exif(block or b"").turned(height, width)
    except ValueError:
        return None


def turned_xmp(xmp: bytes | None) -> bytes | None:
    """XMP that says upright."""
    return xmp and re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>))\s*\d", rb"\g<1>1", xmp)
