"""Files that appear whole or not at all, and the text of JSON files."""

import fcntl
import json
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from restore_lightning.errors import UserError

log = logging.getLogger(__name__)


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
        raise UserError(f"{flag} {path} is no place for a file: name another")
    if resolved.exists() and not replace:
        raise UserError(f"{flag} {path} exists already: give --overwrite or another name")


def write_text(path: Path, text: str) -> None:
    """Write a text file, in UTF-8 on every system."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def claimed(folder: Path) -> TextIO:
    """Keep a folder for this process, for as long as the returned file is open; the lock goes with the process.

    Raises:
        UserError: Another process holds it, other than this Slurm job's on a node where it ran before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    job, host = os.environ.get("SLURM_JOB_ID"), socket.gethostname()
    file = path.open("a+", encoding="utf-8")
    try:
        # Of the process, unlike flock: children that outlive it for a moment do not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = path.read_text(encoding="utf-8").strip()
        # A job that was requeued because its node failed: a network file system keeps that node's lock for a while.
        own = job is not None and holder.startswith(f"job {job},") and not holder.endswith(f" on {host}")
        if not own:
            raise UserError(
                f"{folder} is in use by {holder}: wait for its end or stop it,"
                " or choose another --trainer.default_root_dir"
            ) from error
        log.warning("%s is still locked by this job's earlier start, %s: going on", folder, holder)
    except OSError as error:
        log.warning("%s cannot be locked (%s): make sure that no other job writes to it", folder, error.strerror)
    file.truncate(0)
    file.write(f"{f'job {job}, ' if job else ''}process {os.getpid()} on {host}\n")
    file.flush()
    return file


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
