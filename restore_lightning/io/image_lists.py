"""Text files that name images, as published data sets have them: which of a folder's images are used."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.image_files import SUFFIXES


class Listed(NamedTuple):
    """What a list says of a folder's images.

    Args:
        paths: Those that it names.
        problems: A line for each name that is none of them, or several of a folder.
    """

    paths: set[str]
    problems: list[str]


def read_list(file: Path) -> list[tuple[int, str]]:
    """The numbers and texts of the lines that are not empty.

    Raises:
        UserError: No such file, no text, or nothing in it.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{file} cannot be read as a list of images: {reason}", exit_code=1) from error
    found = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise UserError(f"{file} names no images: give a text file with a name in each line", exit_code=1)
    return found


def listed_images(file: Path, folders: Iterable[Iterable[str]]) -> Listed:
    """Which images a list names.

    A line names an image by the end of its path, from a folder's or the file's name on; suffixes and case matter only
    where several images fit. It may name several images, such as a clean and a degraded one, parted by "|", or by
    spaces where each has an image's suffix or a "/".

    Args:
        file: The list.
        folders: The paths of images that have one purpose, of each: a name may be that of a clean and of a degraded
            image, but of one of each only.

    Raises:
        UserError: As `read_list`.
    """
    by_end = [_by_end(paths) for paths in folders]
    named: set[str] = set()
    problems: list[str] = []
    for number, line in read_list(file):
        for name in _names(line, lambda text: any(_key(text) in ends for ends in by_end)):
            found = [fitting for ends in by_end if (fitting := _fitting(name, ends))]
            several = next((fitting for fitting in found if len(fitting) > 1), None)
            if not found:
                problems.append(f"{file}, line {number}: there is no image {name}")
            elif several:
                which = shortened_list(several, 2)
                problems.append(f"{file}, line {number}: {name} may be {which}: give more of its path")
            else:
                named.update(*found)
    return Listed(named, problems)


def _by_end(paths: Iterable[str]) -> dict[str, list[str]]:
    by_end: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        parts = _key(path).split("/")
        for start in range(len(parts)):
            by_end.setdefault("/".join(parts[start:]), []).append(path)
    return by_end


def _names(line: str, known: Callable[[str], bool]) -> list[str]:
    """The names in a line; one of them may have spaces."""
    if known(line):
        return [line]
    names: list[str] = []
    for name in filter(None, map(str.strip, line.split("|"))):
        parts = name.split()
        apart = not known(name) and all("/" in part or PurePosixPath(part).suffix.lower() in SUFFIXES for part in parts)
        names += parts if apart else [name]
    return names or [line]


def _fitting(name: str, by_end: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The images that a name fits; only the one that it is to the letter where there is such."""
    name = _plain(name)
    found = by_end.get(_key(name), ())
    if len(found) < 2:
        return found
    whole = [path for path in found if path == name]
    return whole or [path for path in found if f"/{path}".endswith(f"/{name}")] or found


def _plain(name: str) -> str:
    return name.removeprefix("./").strip("/")


def _key(name: str) -> str:
    """A path as it is compared: without an image's suffix, small letters."""
    path = PurePosixPath(_plain(name))
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path).casefold()
