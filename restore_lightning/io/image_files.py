"""Image files: found in folders, matched by name, read as arrays. Imports neither torch nor what needs it."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from restore_lightning.errors import LISTED, UserError, shortened_list

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})


class Matches(NamedTuple):
    """The images of two folders, or two files.

    Args:
        pairs: Name -> the file of each folder. The name is the path within the folder, without suffix.
        alone: Folder -> its images that the other one lacks.
    """

    pairs: dict[str, tuple[Path, Path]]
    alone: dict[Path, list[Path]]

    def problems(self) -> list[str]:
        """A line for each folder with images that the other one lacks."""
        return [
            f"{len(paths)} of {len(paths) + len(self.pairs)} have no partner in {other}:"
            f" {shortened_list(list(map(str, paths)), LISTED)}"
            for paths, other in zip(self.alone.values(), reversed(self.alone), strict=True)
            if paths
        ]


def match(first: Path, second: Path) -> Matches:
    """Pair the images of two folders by their path without suffix; or two files, whatever their names.

    Raises:
        UserError: A folder or file that is not there, a folder beside a file, a folder without images, or with two
            images of one name.
    """
    for path in (first, second):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
    if first.is_file() and second.is_file():
        return Matches({first.stem: (first, second)}, {})
    if first.is_file() or second.is_file():
        raise UserError(f"{first} and {second}: give two folders, or two files")
    ours, theirs = _by_name(first), _by_name(second)
    return Matches(
        {name: (path, theirs[name]) for name, path in ours.items() if name in theirs},
        {
            first: [path for name, path in ours.items() if name not in theirs],
            second: [path for name, path in theirs.items() if name not in ours],
        },
    )


def _by_name(folder: Path) -> dict[str, Path]:
    paths = list(find_images(folder))
    if not paths:
        raise UserError(f"{folder} holds no images (.png, .jpg, .webp, .bmp, .tif, .ppm): give a folder of images")
    found: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{found[name]} and {path} have one name: images are matched by name without suffix")
        found[name] = path
    return found


def find_images(folder: Path) -> Iterator[Path]:
    """Image files below a folder, by suffix, sorted; hidden files and folders are left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in EXTENSIONS and not hidden and path.is_file():
            yield path


def read_array(path: str | Path | BinaryIO, name: str | None = None, keep_gray: bool = False) -> np.ndarray:
    """An image file as (H, W, 3) uint8, turned upright by its EXIF entry.

    Gray, palette and CMYK images become RGB, 16-bit gray keeps its upper 8 bits, alpha is dropped.

    Args:
        path: The file, or its content.
        name: What messages call it; None: its path.
        keep_gray: A gray one as (H, W, 1).

    Raises:
        UserError: The file is no image, is damaged, or its header asks for an absurd size.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
            if image.mode == "F":
                raise ValueError("32-bit floating point has no fixed range, convert it to 8 or 16 bits")
            if image.mode.startswith("I"):  # Pillow clips these where they should be scaled
                image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).clip(0, 255).astype(np.uint8))
            gray = keep_gray and image.mode in ("1", "L", "LA")
            return np.atleast_3d(np.asarray(image.convert("L" if gray else "RGB")))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name or path} cannot be read as an image: {error}".splitlines()[0], exit_code=1) from error


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of an image file from its header, upright.

    Raises:
        UserError: The file is no image.
    """
    try:
        with Image.open(path) as image:
            # A PNG's entry can lie behind its pixels, and is not worth decoding them.
            known = image.format != "PNG" or "exif" in image.info
            turned = known and image.getexif().get(0x0112, 1) >= 5
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image: {error}".splitlines()[0], exit_code=1) from error
    return (width, height) if turned else (height, width)
