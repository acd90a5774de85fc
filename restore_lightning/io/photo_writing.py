"""Photographs written with all that they carry, as far as the format holds it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from restore_lightning.errors import UserError
from restore_lightning.io import exif, png, tiff
from restore_lightning.io.files import written_beside
from restore_lightning.io.image_files import Photo, too_large

QUALITY = 95
"""Does not undo the restoration."""
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
TIFF = (".tif", ".tiff")
WEB = (".webp", ".avif")
MAPS = (".ppm", ".pgm", ".pnm")
DEEP, GRAY, ALPHA, ICC, EXIF, XMP, DPI = (
    "more than 8 bits",
    "gray as one channel",
    "transparency",
    "colour profile",
    "EXIF",
    "XMP",
    "resolution",
)
LACKING = {
    **dict.fromkeys((".png", *TIFF), frozenset[str]()),
    **dict.fromkeys(JPEG, frozenset({DEEP, ALPHA})),
    **dict.fromkeys(WEB, frozenset({DEEP, GRAY, DPI})),
    ".bmp": frozenset({DEEP, ALPHA, ICC, EXIF, XMP}),
    **dict.fromkeys(MAPS, frozenset({DEEP, ALPHA, ICC, EXIF, XMP, DPI})),
}
"""Suffix -> what its files do not hold, as they are written here; maps hold 16 bits of gray, and WebP and AVIF a
resolution in EXIF."""
WRITTEN = tuple(LACKING)
"""Suffixes of what can be written; other formats lose colours, or are kept by few programs."""
MOST_IN_JPEG = {EXIF: 65500, XMP: 65500, ICC: 255 * 65519}
"""Bytes: EXIF and XMP have to fit in a segment, a profile in 255."""
X_RESOLUTION = 0x011A


def write_photo(photo: Photo, path: Path, quality: int | None = None) -> list[str]:
    """Write in the format of the suffix; the file appears whole or not at all.

    Args:
        photo: What to write.
        path: Where to.
        quality: 1 to 100 of lossy formats; None: 95, and WebP without loss.

    Returns:
        What the format does not hold, e.g. "transparency".

    Raises:
        UserError: It cannot be written.
    """
    try:
        return _write(photo, path, quality)
    except MemoryError as error:
        raise UserError(f"{path} cannot be written: the image {too_large(error)}", exit_code=1) from error
    except Exception as error:
        what = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be written: {what}", exit_code=1) from error


def _write(photo: Photo, path: Path, quality: int | None) -> list[str]:
    suffix = path.suffix.lower()
    photo, lost = _fitting(photo, suffix)
    pixels = photo.pixels
    if photo.alpha is not None:
        pixels = np.concatenate([pixels, photo.alpha[..., None]], axis=2)
    carried: dict[str, Any] = {"exif": photo.exif, "icc_profile": photo.icc, "xmp": photo.xmp, "dpi": photo.dpi}
    with written_beside(path) as beside:
        if suffix in TIFF or (suffix == ".png" and pixels.dtype == np.uint16):
            with beside.open("w+b") as file:
                write = tiff.write if suffix in TIFF else png.write
                write(file, pixels, photo.exif, photo.icc, photo.xmp, photo.dpi)
        else:
            options = {name: value for name, value in carried.items() if value}
            if suffix in JPEG and photo.exif:
                options["exif"] = exif.PREFIX + photo.exif
            if suffix == ".png" and photo.xmp:
                options["pnginfo"] = texts = PngImagePlugin.PngInfo()
                texts.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "replace"))
            image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
            image.save(beside, **options, **_lossy(suffix, quality))
    return lost


def written_suffix(suffix: str) -> str:
    """The suffix that a file of this one is written with in its own format: its own, or .png.

    >>> written_suffix(".jfif"), written_suffix(".gif")
    ('.jfif', '.png')
    """
    return suffix if suffix.lower() in WRITTEN else ".png"


def with_pixels(photo: Photo, pixels: np.ndarray) -> Photo:
    """What a photo carries, with other pixels; alpha is enlarged with them, and EXIF says their size."""
    alpha = photo.alpha
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        size = pixels.shape[1], pixels.shape[0]
        enlarged = np.asarray(Image.fromarray(alpha.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        alpha = enlarged.round().clip(0, np.iinfo(alpha.dtype).max).astype(alpha.dtype)
    return replace(photo, pixels=pixels, alpha=alpha, exif=exif.turned(photo.exif, *pixels.shape[:2]))


def _lossy(suffix: str, quality: int | None) -> dict[str, Any]:
    if suffix in JPEG:
        return {"format": "JPEG", "quality": quality or QUALITY, "subsampling": 0}
    if suffix == ".webp":
        return {"lossless": True} if quality is None else {"quality": quality}
    if suffix == ".avif":
        return {"quality": quality or QUALITY, "subsampling": "4:4:4"}
    return {}


def _fitting(photo: Photo, suffix: str) -> tuple[Photo, list[str]]:
    """The photo as the format holds it, and what it does not hold."""
    lacking = set(LACKING.get(suffix, ()))
    most = MOST_IN_JPEG if suffix in JPEG else {}
    beside = {ICC: photo.icc, EXIF: photo.exif, XMP: photo.xmp}
    lacking |= {name for name, content in beside.items() if content and len(content) > most.get(name, len(content))}
    if suffix in MAPS and photo.gray:
        lacking.remove(DEEP)
    if suffix in WEB and photo.exif and X_RESOLUTION in exif.Exif(photo.exif).entries():
        lacking.remove(DPI)
    deep = photo.pixels.dtype == np.uint16
    there = {DEEP: deep, GRAY: photo.gray, ALPHA: photo.alpha is not None, DPI: photo.dpi, **beside}
    lost = [name for name, found in there.items() if found and name in lacking]
    if DEEP in lost:
        alpha = None if photo.alpha is None else _eight_bits(photo.alpha)
        photo = replace(photo, pixels=_eight_bits(photo.pixels), alpha=alpha)
    photo = replace(
        photo,
        alpha=None if ALPHA in lost else photo.alpha,
        icc=None if ICC in lost else photo.icc,
        exif=None if EXIF in lost else photo.exif,
        xmp=None if XMP in lost else photo.xmp,
        dpi=None if DPI in lost else photo.dpi,
    )
    of_colours = photo.icc is not None and photo.icc[16:20] == b"RGB "
    if photo.gray and of_colours:  # a profile of colours needs them
        photo = replace(photo, pixels=photo.pixels.repeat(3, axis=2))
        lost += [GRAY] if GRAY not in lost else []
    elif photo.icc and not of_colours and not (photo.gray and GRAY not in lost and photo.icc[16:20] == b"GRAY"):
        photo = replace(photo, icc=None)
        lost.append("colour profile of other colours")
    return photo, lost


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Rounded."""
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
