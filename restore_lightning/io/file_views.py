"""An image within a file: all of it, one of two halves side by side, without its border, or an array in HDF5."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from restore_lightning.errors import UserError
from restore_lightning.io.image_files import Header, read_header
from restore_lightning.io.images import read_image, to_uint8
from restore_lightning.io.pixel_windows import Window

HDF5 = frozenset({".h5", ".hdf5"})


class View(NamedTuple):
    """What is taken of a file, in this order.

    Args:
        array: Name of an array in an HDF5 file, (H, W, 3) with values in [0, 1]; None: the file is an image.
        half: Which half of an image that holds two side by side; None: all of it.
        border: Pixels cut off at each side.
        size: (width, height) to resize to; None: as it is.
    """

    array: str | None = None
    half: Literal["left", "right"] | None = None
    border: int = 0
    size: tuple[int, int] | None = None

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what is taken of an image of a size.

        Raises:
            ValueError: Two halves of an odd width, or nothing within the border.
        """
        window = self._window(height, width)
        return (window.height, window.width) if self.size is None else (self.size[1], self.size[0])

    def of(self, image: Tensor) -> Tensor:
        """What is taken of (C, H, W)."""
        taken = self._window(*image.shape[1:]).cut(image)
        return taken if self.size is None else bilinear(taken, *self.size)

    def _window(self, height: int, width: int) -> Window:
        left = 0
        if self.half is not None:
            if width % 2:
                raise ValueError(f"is {width} pixels wide: two halves need an even width")
            width //= 2
            left = width if self.half == "right" else 0
        border = self.border
        if min(height, width) <= 2 * border:
            raise ValueError(f"is {width}x{height}, which leaves nothing within a border of {border}")
        return Window(border, left + border, height - 2 * border, width - 2 * border)


class FileView(NamedTuple):
    """A view of a file."""

    path: str
    view: View = View()

    def header(self) -> Header:
        """The size of what is taken, and how many pictures the file holds.

        Raises:
            UserError: The file cannot be read, or is not of a size that the view needs.
        """
        found = _header(self.path, self.view.array)
        height, width = self._checked(lambda: self.view.shape(found.height, found.width))
        return Header(height, width, found.pictures)

    def read(self) -> Tensor:
        """(3, H, W): uint8, or float32 in [0, 1] from HDF5.

        Raises:
            UserError: As in `header`, or the file is damaged.
        """
        return self._checked(lambda: self.view.of(read_whole(self.path, self.path, self.view.array)))

    def _checked(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except ValueError as error:
            raise UserError(f"{self.path} {error}", exit_code=1) from error


def read_whole(file: str | Path | BytesIO, name: str, array: str | None) -> Tensor:
    """The image in a file, (3, H, W) uint8, or an array of an HDF5 file, float32 in [0, 1].

    Args:
        file: Path or content.
        name: What messages call it.
        array: Which array; None: the file is an image.

    Raises:
        UserError: The file cannot be read.
    """
    if array is None:
        return read_image(file, name)
    with _hdf5(file, name) as opened:
        values = np.asarray(_dataset(opened, array, name), dtype=np.float32)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise UserError(f"{name}: values of {array} are not within [0, 1]", exit_code=1)
    return torch.from_numpy(values.transpose(2, 0, 1))


def bilinear(image: Tensor, width: int, height: int) -> Tensor:
    """Resize (C, H, W) between pixel centres without antialiasing, as OpenCV's `resize` does and paper 1's code used.

    At half the size it is the mean of 2x2 pixels.
    """
    resized = torch.nn.functional.interpolate(image[None].float(), (height, width), mode="bilinear")[0]
    return to_uint8(resized / 255) if image.dtype == torch.uint8 else resized


def _header(path: str, array: str | None) -> Header:
    if array is None:
        return read_header(path)
    with _hdf5(path, path) as opened:
        height, width, _ = _dataset(opened, array, path).shape
        return Header(height, width)


def _hdf5(file: str | Path | BinaryIO, name: str) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{name} is an HDF5 file, which needs h5py: pip install 'restore-lightning[hdf5]'") from error
    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise UserError(f"{name} cannot be read as HDF5: {error}".splitlines()[0], exit_code=1) from error


def _dataset(opened: Any, array: str, name: str) -> Any:
    if array not in opened:
        raise UserError(f"{name} has no array {array!r}: it has {', '.join(opened) or 'none'}", exit_code=1)
    found = opened[array]
    if len(getattr(found, "shape", ())) != 3 or found.shape[2] != 3 or found.dtype.kind not in "fu":
        raise UserError(f"{name}: {array} is no array of (height, width, 3) numbers", exit_code=1)
    return found
