"""Files that appear whole or not at all, locks on files, and the text of JSON files."""

import errno
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from restore_lightning.errors import UserError, did_you_mean, near_names

FULL = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE") if hasattr(errno, name)
)
"""What writing fails with: no room, a limit, a read-only or a broken place."""
NO_LOCKS = frozenset(
    getattr(errno, name) for name in ("ENOSYS", "ENOLCK", "ENOTSUP", "EOPNOTSUPP") if hasattr(errno, name)
)
"""What locking fails with on file systems without locks, as some network file systems are."""
MOST_BESIDE = 10_000
"""Names of a folder among which a near one is looked for: more would take seconds."""
LONGEST_NAME = 255
"""Bytes of a name, on all file systems in use."""


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path to write to, beside `path` and with its suffix; renamed to it when the block ends without an error.

    Folders are made. A process killed within leaves `path` as it was.

    Raises:
        OSError: It cannot be written; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    with _named(path, beside):
        try:
            yield beside
            beside.replace(path)
        finally:
            with suppress(OSError):  # of a read-only file system: there is none
                beside.unlink(missing_ok=True)


@contextmanager
def _named(path: Path, written: Path) -> Iterator[None]:
    """Within the block errors of writing a file name `path`: the system names what is opened, not what is written."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(written), written) or (error.filename is None and error.errno not in FULL):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _beside(path: Path) -> Path:
    """A hidden name of this process; of names that are as long as file systems allow a part, which tells them apart."""
    process = f".{os.getpid()}"
    stem = os.fsencode(path.stem)
    room = LONGEST_NAME - len(os.fsencode(f".{process}{path.suffix}"))
    if len(stem) > room:
        digest = f"~{zlib.crc32(stem):08x}".encode()
        stem = stem[: room - len(digest)] + digest
    return path.with_name(f".{os.fsdecode(stem)}{process}{path.suffix}")


def near_path(path: Path, names: Iterable[str] = (), kind: Callable[[Path], bool] = Path.exists) -> str:
    """The end of a message about a path that is not there: what is named nearly so beside it, or beside its folder.

    Args:
        path: It may be there as something else, a file in a folder's place: then nothing is near.
        names: What a word without a folder may stand for, beside files.
        kind: What is meant: `Path.is_file`, `Path.is_dir`, or either.

    >>> near_path(Path(__file__).with_name("fiels.py")).removeprefix(f"; did you mean {Path(__file__).parent}")
    '/files.py?'
    """
    known = list(names) if path.parent == Path() else []
    try:
        if path.exists():
            return ""
        if path.is_symlink():
            return f"; it is a link to {path.readlink()}, which is not there"
        while not path.parent.exists() and path.parent != path:
            path, kind = path.parent, Path.is_dir
        beside = [each.name for each in islice(path.parent.iterdir(), MOST_BESIDE)]
        known += [name for name in near_names(path.name, beside) if kind(path.with_name(name))]
    except OSError:  # a name that is too long, a folder that cannot be read
        pass
    return did_you_mean(path.name, known, str(path).removesuffix(path.name))


def check_is_folder(folder: Path, give: str, key: str = "") -> None:
    """Refuse what is no folder, where one is to be read.

    Args:
        folder: The place.
        give: What to give in its place, for the message.
        key: The flag or key that named it, for the message.

    Raises:
        UserError: There is none, or it is something else.
    """
    if not folder.is_dir():
        named = f"{key} {folder}" if key else folder
        raise UserError(f"{named} is no folder: give {give}{near_path(folder, kind=Path.is_dir)}")


def user_path(name: str) -> Path:
    """The path of a file or folder that a user names; raises as `with_home`."""
    return Path(with_home(name))


def with_home(name: str) -> str:
    """A user's word that may name a file, with their home for a "~" in front: shells leave one after "=" as it is.

    Raises:
        UserError: The home of a user that there is not; a null byte.
    """
    if "\0" in name:
        raise UserError(f"{name!r} has a null byte, which no file's name has")
    try:
        return str(Path(name).expanduser()) if name.startswith("~") else name
    except RuntimeError as error:
        raise UserError(f"{name}: there is no such home folder, give the whole path") from error


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
        OSError: The file system has no locks (`NO_LOCKS`), or the file cannot be made.
    """
    # What filelock has in the place of missing locks, a file that stays, would outlive a process that is killed.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def write_text(path: Path, text: str) -> None:
    """Write a text file, in UTF-8 on every system."""
    with written_beside(path) as beside:
        # File names that are not UTF-8 are shown as far as they can be.
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def append_text(path: Path, text: str) -> None:
    """Add to a text file, in UTF-8 on every system: all of the text, or nothing where there is no room for it.

    Raises:
        OSError: It cannot be written; it names `path`.
    """
    left = memoryview(text.encode())
    with _named(path, path), path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            file.truncate(before)
            raise


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
