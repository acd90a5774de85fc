"""Pixels of image files that Pillow has opened: gray or RGB, with or without alpha, 8 bits or 16."""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile

Source = str | Path | BinaryIO
"""A file, or its content."""
STEP = {"L;2": 85, "L;4": 17}
"""Pillow's way to unpack gray of 2 or 4 bits -> what a step of them is of its 255."""


def rewound(file: Source) -> Source:
    """The file, to be read from its start."""
    if not isinstance(file, str | Path):
        file.seek(0)
    return file


def split_upright(colours: np.ndarray, way: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of (H, W, 1 to 4), turned upright from one of EXIF's eight ways to hold a camera."""
    turn: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[::-1].swapaxes(0, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[:, ::-1].swapaxes(0, 1),
    }
    upright = turn[way](colours) if way in turn else colours
    channels = upright.shape[2]
    return upright[..., : 3 if channels > 2 else 1], upright[..., -1] if channels in (2, 4) else None


def decode(image: Image.Image, source: Source, deep: bool) -> np.ndarray:
    """The pixels, as the file holds them: of palettes and CMYK the colours that they stand for.

    Args:
        image: The opened file.
        source: The file.
        deep: Whether colours of 16 bits keep them.

    Returns:
        (H, W, C) of gray, gray and alpha, RGB, or RGB and alpha; uint8, or uint16 of a file with more than 8 bits.

    Raises:
        ValueError: Numbers without a fixed range.
    """
    raw = _raw_mode(image)
    if deep and raw.startswith("RGB") and ";16" in raw:
        upper = np.asarray(image).astype(np.uint16)
        colours = upper << 8 | _lower_bytes(source)
    elif deep and raw == "LA;16B":  # Pillow has no such mode: its four bytes are read as if each were a channel
        _unpack_as(image, "RGBA")
        four = np.asarray(image).astype(np.uint16)
        colours = four[..., ::2] << 8 | four[..., 1::2]
    elif image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 2**16 - 1:
            raise ValueError("32-bit whole numbers have no fixed range, convert it to 8 or 16 bits")
        colours = values.astype(np.uint16)[..., None]
        if raw == "I;12":
            colours = colours << 4 | colours >> 8
    elif image.mode == "F":
        raise ValueError("32-bit floating point has no fixed range, convert it to 8 or 16 bits")
    else:
        colours = _eight_bits(image)
    key = image.info.get("transparency")
    if colours.shape[2] in (1, 3) and isinstance(key, int | tuple):  # the colour that is transparent
        opaque = (colours != np.array(key) * STEP.get(raw, 1)).any(axis=2, keepdims=True) * np.iinfo(colours.dtype).max
        colours = np.concatenate([colours, opaque.astype(colours.dtype)], axis=2)
    return colours


def _eight_bits(image: Image.Image) -> np.ndarray:
    if image.mode in ("P", "PA"):
        clear = image.mode == "PA" or "transparency" in image.info
        colours = np.asarray(image.convert("RGBA" if clear else "RGB"))
        gray = (colours[..., :3] == colours[..., :1]).all()
        return colours[..., [0, *range(3, colours.shape[2])]] if gray else colours
    if image.mode == "CMYK":
        return np.asarray(_srgb_of_cmyk(image))
    kept = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA"}
    return np.atleast_3d(np.asarray(image.convert(kept.get(image.mode, "RGB"))))


def _srgb_of_cmyk(image: Image.Image) -> Image.Image:
    """By the profile; without one as if inks were ideal."""
    with suppress(ImageCms.PyCMSError, OSError):
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info.get("icc_profile") or b""))
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")


def _raw_mode(image: Image.Image) -> str:
    """How Pillow is going to unpack the file's pixels."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    args = image.tile[0].args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _unpack_as(image: Image.Image, raw: str) -> None:
    """Make Pillow unpack the file's pixels in another way, of as many bits."""
    assert isinstance(image, ImageFile.ImageFile)
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]


def _lower_bytes(source: Source) -> np.ndarray:
    """The lower bytes of 16-bit colours: of each two, Pillow keeps the upper one, and in the other order the other."""
    swapped = {"L": "B", "B": "L", "N": "B" if np.little_endian else "L"}
    with Image.open(rewound(source)) as image:
        raw = _raw_mode(image)
        _unpack_as(image, raw[:-1] + swapped[raw[-1]])
        return np.asarray(image).astype(np.uint16)
