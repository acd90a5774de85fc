"""What is packed: samples, and the images that they consist of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from restore_lightning.io.file_views import View

TAR_BLOCKS = 1024
"""Bytes that a tar file adds to a member's, and an array's header, nearly."""


class Member(NamedTuple):
    """One image of a sample.

    Args:
        version: "clean", "degraded", "degraded-03", or a name of its own.
        data: (H, W, 3) uint8 or float32, or the bytes of an image file.
        shape: (height, width) of the image, seen through the view.
        suffix: Of the tar member.
        factors: What degrades it, where that is known.
        view: What is taken of a file.
        about: How it was made, plain values, for the manifest.
    """

    version: str
    data: np.ndarray | bytes
    shape: tuple[int, int]
    suffix: str = "npy"
    factors: tuple[str, ...] = ()
    view: View = View()
    about: Mapping[str, Any] = {}


class Sample(Protocol):
    """A clean image and its versions, read or made when they are packed; it can be pickled."""

    @property
    def split(self) -> str:
        """Which part of the set it belongs to."""

    @property
    def name(self) -> str:
        """Unique in its split; no dots, and no line feed."""

    @property
    def sequence(self) -> str:
        """The video that it is a frame of; "" otherwise."""

    @property
    def bytes(self) -> int:
        """How much it will hold, nearly."""

    def state(self) -> str:
        """What changes when anything that it is made of does."""

    def members(self) -> list[Member]:
        """Its images; the clean one comes first.

        Raises:
            UserError: An image cannot be read.
        """


def file_state(path: str | Path) -> tuple[int, int]:
    """Size and time of a file: what changes when it does."""
    found = Path(path).stat()
    return found.st_size, found.st_mtime_ns
