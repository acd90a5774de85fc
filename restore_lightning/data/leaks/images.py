"""The images of folders, files and shards, to be compared with each other."""

from collections.abc import Callable, Sequence
from functools import partial
from glob import glob
from pathlib import Path
from typing import NamedTuple

import numpy as np

from restore_lightning.data.shards.index import INDEX
from restore_lightning.data.shards.reader import CLEAN, ShardSet
from restore_lightning.data.sources.local_shards import TRAIN
from restore_lightning.errors import UserError
from restore_lightning.io.files import near_path
from restore_lightning.io.image_files import image_size, read_array
from restore_lightning.io.image_folders import find_images, no_images
from restore_lightning.io.images import to_array, to_uint8


class ImageEntry(NamedTuple):
    """An image.

    Args:
        name: For people.
        read: Its pixels, (H, W, 3) uint8; raises `UserError` where the file is damaged or gone.
        size: (height, width), without reading pixels; raises as `read`.
    """

    name: str
    read: Callable[[], np.ndarray]
    size: Callable[[], tuple[int, int]]


class Images(NamedTuple):
    """Images of several places, and the files there that are none."""

    entries: list[ImageEntry]
    others: list[Path]


def images_of(places: Sequence[Path], training: bool) -> Images:
    """The images of folders, image files and shards, each file once; of shards the clean ones.

    Args:
        places: Folders with images below them, folders of shards, files, or patterns of these (`shards/*`).
        training: Of shards with several splits take "train"; else all the others.

    Raises:
        UserError: A place is not there or holds no images.
    """
    entries: dict[str, ImageEntry] = {}
    others: list[Path] = []
    for place in places:
        for found in _matching(place):
            if found.is_file():
                listed = [_of_file(found)]
            elif (found / INDEX).is_file():
                shards = ShardSet(found)
                splits = [split for split in shards.splits if (split == TRAIN) == training] or shards.splits
                listed = [entry for split in splits for entry in shard_images(shards, split)]
            else:
                files = find_images(found)
                if not files.images:
                    raise no_images(found, files)
                listed = list(map(_of_file, files.images))
                others += files.others
            entries |= {entry.name: entry for entry in listed}
    return Images(list(entries.values()), others)


def shard_images(shards: ShardSet, split: str) -> list[ImageEntry]:
    """The clean images of a split of a set of shards."""
    rows = shards.rows(split, CLEAN).tolist()
    names = [f"{shards.folder}: {split}/{shards.name(row)}" for row in rows]
    return [
        ImageEntry(name, partial(_row, shards, row), partial(shards.size, row))
        for name, row in zip(names, rows, strict=True)
    ]


def _of_file(path: Path) -> ImageEntry:
    return ImageEntry(str(path), partial(read_array, path), partial(image_size, path))


def _row(shards: ShardSet, row: int) -> np.ndarray:
    image = shards.read(row)
    return to_array(to_uint8(image) if image.is_floating_point() else image)


def _matching(place: Path) -> list[Path]:
    """A place, or the places that a pattern names."""
    if place.exists():
        return [place]
    found = [Path(name) for name in sorted(glob(str(place)))]  # noqa: PTH207  # a whole path of the user's
    if not found:
        raise UserError(f"{place}: no such file or folder: give a folder of images, or of shards{near_path(place)}")
    return found
