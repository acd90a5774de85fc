"""Where clean images come from: procedural scenes, a folder, scikit-image's photographs."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from restore_lightning.data.scenes import scene
from restore_lightning.errors import UserError, shortened
from restore_lightning.image_files import find_images, image_size
from restore_lightning.images import Colour, from_array, in_colour, read_image
from restore_lightning.seeding import derive, generator


class Clean(NamedTuple):
    """A clean image and its depth.

    Args:
        image: (3, H, W) uint8.
        depth: (H, W) float32 in metres, or None where it is not known.
    """

    image: Tensor
    depth: Tensor | None

    def cut(self, window: "Window") -> "Clean":
        """A part of it."""
        return Clean(window.cut(self.image), None if self.depth is None else window.cut(self.depth))

    def multiple_of(self, pixels: int) -> "Clean":
        """Without the last rows and columns that exceed a multiple of so many.

        Raises:
            UserError: Nothing would be left.
        """
        return self.cut(whole_multiple(self.image, pixels))

    def in_colour(self, colour: Colour) -> "Clean":
        """With all colours, or in gray."""
        return Clean(in_colour(self.image, colour), self.depth)


class Window(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: Tensor) -> Tensor:
        """This part of (..., H, W)."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def with_margin(self, margin: int, height: int, width: int) -> tuple["Window", "Window"]:
        """The window with a margin of pixels, where an image of this size has them, and where it lies in that."""
        up, before = min(margin, self.top), min(margin, self.left)
        outer = Window(
            self.top - up,
            self.left - before,
            up + self.height + min(margin, height - self.top - self.height),
            before + self.width + min(margin, width - self.left - self.width),
        )
        return outer, Window(up, before, self.height, self.width)

    def enlarged(self, scale: int) -> "Window":
        """The same part of an image whose sides are `scale` times as long."""
        return Window(*(scale * pixels for pixels in self))


def whole_multiple(image: Tensor, pixels: int) -> Window:
    """The window of (..., H, W) without the last rows and columns that exceed a multiple of so many pixels.

    Raises:
        UserError: Nothing would be left.
    """
    height, width = image.shape[-2:]
    if min(height, width) < pixels:
        raise UserError(f"an image of {width}x{height} pixels cannot be cut to multiples of {pixels} pixels: remove it")
    return Window(0, 0, height - height % pixels, width - width % pixels)


class CleanSource(Protocol):
    """Clean crops for training, by number: the same number is the same crop in every process."""

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[Clean, Window]:
        """Draw a crop.

        Args:
            number: Which draw, from 0; unlimited.
            size: Side of the crop in pixels.
            margin: Pixels around it that are wanted too, where the image has them.
            seed: Of the crop's place; `number` already tells draws apart.

        Returns:
            The crop with its margin, and where in it the crop lies.
        """
        ...


class SceneSource:
    """Procedural scenes: every draw is a new one."""

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[Clean, Window]:
        """See `CleanSource`."""
        side = size + 2 * margin
        image, depth = scene(side, side, derive(seed, "scene", number))
        return Clean(from_array(image), torch.from_numpy(depth)), Window(margin, margin, size, size)


class FolderSource:
    """The photographs below a folder, each once per round, in an order shuffled by the seed.

    Args:
        root: The folder; subfolders count.
        smallest: Shortest side that every photograph must have, in pixels.

    Raises:
        UserError: No such folder, no images, files that cannot be read or are too small; all are named.
    """

    def __init__(self, root: Path, smallest: int) -> None:
        self.paths = photographs(root)
        check_smallest(self.paths, sizes_of(self.paths, f"files in {root}"), smallest)

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[Clean, Window]:
        """See `CleanSource`; photographs have no depth."""
        image = read_image(self.paths[shuffled(number, len(self.paths), seed)])
        outer, inner = place(image.shape[1:], size, number, seed).with_margin(margin, *image.shape[1:])
        return Clean(outer.cut(image), None), inner


def shuffled(number: int, length: int, seed: int) -> int:
    """Which of `length` images draw `number` takes: each once per round, in an order shuffled by the seed."""
    turn, position = divmod(number, length)
    return int(_permutation(seed, turn, length)[position])


def place(of: Sequence[int], size: int, number: int, seed: int) -> Window:
    """Where draw `number`'s square crop of side `size` lies in an image of (height, width), all in pixels."""
    height, width = of
    rng = generator(seed, "crop", number)
    return Window(int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1)), size, size)


@lru_cache(maxsize=8)
def _permutation(seed: int, turn: int, length: int) -> np.ndarray:
    return generator(seed, "round", turn).permutation(length)


def sizes_of(paths: Sequence[Path], what: str) -> list[tuple[int, int]]:
    """(height, width) of each image, from the headers.

    Args:
        paths: The images.
        what: They are, for the message.

    Raises:
        UserError: Files that are no images; all are counted, the first are named.
    """
    sizes, problems = [], []
    for path in paths:
        try:
            sizes.append(image_size(path))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(f"{len(problems)} of {len(paths)} {what}: {shortened(problems)}", exit_code=1)
    return sizes


def check_smallest(names: Sequence[Path | str], sizes: Sequence[tuple[int, int]], smallest: int) -> None:
    """Refuse images that crops of a size cannot be cut from.

    Args:
        names: Of the images.
        sizes: (height, width) of each.
        smallest: Side of the crops (pixels).

    Raises:
        UserError: Some are smaller; all are counted, the first are named.
    """
    small = [
        f"{name} ({width}x{height})"
        for name, (height, width) in zip(names, sizes, strict=True)
        if min(height, width) < smallest
    ]
    if small:
        raise UserError(
            f"crop_size {smallest} is larger than {len(small)} of {len(names)} images: {shortened(small)};"
            " choose a smaller --data.crop_size (or the factor's) or remove them"
        )


def photographs(root: Path) -> list[Path]:
    """The image files below a folder.

    Raises:
        UserError: No such folder, or no image in it.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give a folder of images")
    paths = list(find_images(root))
    if not paths:
        raise UserError(f"{root} holds no images (.png, .jpg, .webp, .bmp, .tif, .ppm): give a folder of images")
    return paths


BUNDLED = {"val": ("coffee", "rocket"), "test": ("astronaut", "chelsea", "motorcycle")}
"""scikit-image's photographs by split. They are for validation and test, never for training."""


def bundled(name: str) -> Clean:
    """One of scikit-image's photographs; "motorcycle" has the depth that its disparity was measured for."""
    from skimage import data

    if name != "motorcycle":
        return Clean(from_array(getattr(data, name)()), None)
    left, _, disparity = data.stereo_motorcycle()  # type: ignore[no-untyped-call]
    # Where no disparity was measured (7% of the pixels), the nearest measured one.
    nearest = distance_transform_edt(~np.isfinite(disparity), return_distances=False, return_indices=True)
    disparity = disparity[tuple(nearest)]
    metres = 994.978 * 0.193001 / (disparity + 31.086)  # focal length * baseline / (disparity + offset)
    return Clean(from_array(left), torch.from_numpy(metres.astype(np.float32)))
