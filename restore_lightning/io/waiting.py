"""Files on a network that is away for a moment: reading waits for them, a few times."""

import errno
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from restore_lightning.errors import UserError

log = logging.getLogger(__name__)

Found = TypeVar("Found")

WAITS = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds between attempts: less in all than what Slurm leaves a run whose time ends."""
PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ETIMEDOUT", "EREMOTEIO", "ENOTCONN", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENOLINK", "ESHUTDOWN"),
    )
    if hasattr(errno, name)
)
"""What network file systems fail with while their server or the network is away."""


def read_patiently(read: Callable[[], Found], path: Path, waits: Sequence[float] = WAITS) -> Found:
    """What `read` gives; where the file's folder is gone, or its server does not answer, it is tried again.

    A file that is damaged, or is missing from a folder that is there, is not waited for.

    Args:
        read: Reads the file; called anew at each attempt.
        path: The file, for messages.
        waits: Seconds before each further attempt.

    Raises:
        UserError: The file's folder did not come back; or it is there, and the file still cannot be read.
        Exception: Any other error of `read`.
    """
    for wait in (*waits, None):
        try:
            return read()
        except (OSError, UserError) as error:
            cause = _system_error(error)
            if cause is None or not _passes(cause, path):
                raise
            if wait is None and _holds_files(path.parent):
                raise UserError(
                    f"{path} cannot be read ({cause.strerror}) {len(waits) + 1} times, though its folder is there:"
                    " check its disk, put a good copy in its place and start again; fit goes on with --ckpt_path last",
                    exit_code=1,
                ) from error
            if wait is None:
                raise UserError(
                    f"{path.parent} was away for {sum(waits):g} seconds, {path.name} in it cannot be read"
                    f" ({cause.strerror}): bring the folder back and start again; fit goes on with --ckpt_path last",
                    exit_code=1,
                ) from error
            log.warning("%s cannot be read (%s): trying again in %g seconds", path, cause.strerror, wait)
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _system_error(error: BaseException | None) -> OSError | None:
    """The system's error that another one is about."""
    while error is not None and not (isinstance(error, OSError) and error.errno is not None):
        error = error.__cause__
    return error


def _passes(error: OSError, path: Path) -> bool:
    """Whether waiting may help; a network file system that is unmounted leaves no folder, or an empty one."""
    return error.errno in PASSING or (error.errno in (errno.ENOENT, errno.ENOTDIR) and not _holds_files(path.parent))


def _holds_files(folder: Path) -> bool:
    """Whether it can be listed, and is no empty one."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False
