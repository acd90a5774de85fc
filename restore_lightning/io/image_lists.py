"""Text files that name images, as published data sets have them: which of a folder's images are used."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from restore_lightning.errors import UserError
from restore_lightning.io.image_files import SUFFIXES

BETWEEN = re.compile(r"[\s|]+")
"""What stands between several names in a line."""


class Listed(NamedTuple):
    """What a list says of a folder's images.

    Args:
        paths: Those that it names.
        problems: A line for each name that is none of them.
    """

    paths: set[str]
    problems: list[str]


def read_list(file: Path) -> list[tuple[int, str]]:
    """The numbers and texts of the lines that are not empty.

    Raises:
        UserError: No such file, no text, or nothing in it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{file} cannot be read as a list of images: {reason}", exit_code=1) from error
    found = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise UserError(f"{file} names no images: give a text file with a name in each line", exit_code=1)
    return found


def listed_images(file: Path, paths: Iterable[str]) -> Listed:
    """Which of a folder's images a list names.

    A line names an image by the end of its path, from a folder's or the file's name on; suffixes and case do not
    matter. It may name several images, such as a clean and a degraded one, parted by spaces or "|".

    Args:
        file: The list.
        paths: The images, below their folder.

    Raises:
        UserError: As `read_list`.
    """
    by_end: dict[str, list[str]] = {}
    for path in paths:
        parts = _key(path).split("/")
        for start in range(len(parts)):
            by_end.setdefault("/".join(parts[start:]), []).append(path)
    named: set[str] = set()
    problems: list[str] = []
    for number, line in read_list(file):
        names = [line] if _key(line) in by_end else BETWEEN.split(line)
        for name in names:
            if _key(name) in by_end:
                named.update(by_end[_key(name)])
            else:
                problems.append(f"{file}, line {number}: there is no image {name}")
    return Listed(named, problems)


def _key(name: str) -> str:
    """A path as it is compared: without an image's suffix, small letters."""
    path = PurePosixPath(name.removeprefix("./").strip("/"))
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path).casefold()
