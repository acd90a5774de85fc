"""Files that appear whole or not at all, locks on files, and the text of JSON files."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from restore_lightning.errors import UserError


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path to write to, beside `path` and with its suffix; renamed to it when the block ends without an error.

    Folders are made. A process killed within leaves `path` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def check_output(flag: str, path: Path, replace: bool) -> None:
    """Refuse a file to write before anything is computed for it.

    Args:
        flag: That named it, for messages.
        path: The file.
        replace: Whether one that exists may be replaced.

    Raises:
        UserError: There is a file, or a place where none can be.
    """
    resolved = path.resolve()  # folders of the path that do not exist yet hide nothing
    if resolved.is_dir() or any(parent.is_file() for parent in resolved.parents):
        hint = "a file in it" if resolved.is_dir() else "another"
        raise UserError(f"{flag} {path} is no place for a file: name {hint}")
    if resolved.exists() and not replace:
        raise UserError(f"{flag} {path} exists already: give --overwrite or another name")


def check_folder(flag: str, path: Path) -> None:
    """Refuse a folder to make before anything is computed for it.

    Args:
        flag: That named it, for messages.
        path: The folder.

    Raises:
        UserError: There is a place where none can be.
    """
    file = next((place for place in (path, *path.parents) if place.exists() and not place.is_dir()), None)
    if file is not None:
        raise UserError(f"{flag} {path} is no place for a folder, {file} is a file: name another")


def locked_exclusively(path: Path) -> FileLock | None:
    """Lock a file for this process, until the lock is released or the process ends, however it does.

    Children that outlive the process do not hold it. What the file holds stays as it is, and cannot be read by others
    on Windows.

    Returns:
        The lock; None: it is held already.

    Raises:
        OSError: The file system has no locks, or the file cannot be made.
    """
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def write_text(path: Path, text: str) -> None:
    """Write a text file, in UTF-8 on every system."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """Valid JSON: infinity as 1e999, which Python and JavaScript read as infinity again, NaN as null.

    >>> print(json_text({"Infinity": [float("inf"), float("nan")]}), end="")
    {
      "Infinity": [
        1e999,
        null
      ]
    }
    """
    spelt = {"Infinity": "1e999", "-Infinity": "-1e999", "NaN": "null"}
    # Strings match first, so that these words stay as they are in them.
    tokens = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
    return tokens.sub(lambda token: spelt.get(token[0], token[0]), json.dumps(value, indent=2)) + "\n"
