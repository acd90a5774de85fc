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
from restore_lightning.io.image_files import read_array
from restore_lightning.io.image_folders import find_images, no_images
from restore_lightning.io.images import to_array, to_uint8


class ImageEntry(NamedTuple):
    """An image: its name for people, and what reads it as (H, W, 3) uint8.

    Reading raises `UserError` where the file is damaged or gone.
    """

    name: str
    read: Callable[[], np.ndarray]


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
                listed = [ImageEntry(str(found), partial(read_array, found))]
            elif (found / INDEX).is_file():
                listed = shard_images(ShardSet(found), training)
            else:
                files = find_images(found)
                if not files.images:
                    raise no_images(found, files)
                listed = [ImageEntry(str(path), partial(read_array, path)) for path in files.images]
                others += files.others
            entries |= {entry.name: entry for entry in listed}
    return Images(list(entries.values()), others)


def shard_images(shards: ShardSet, training: bool) -> list[ImageEntry]:
    """The clean images of a set's training split, or of its other ones; of a set of one kind all."""
    splits = [split for split in shards.splits if (split == TRAIN) == training] or shards.splits
    return [
        ImageEntry(f"{shards.folder}: {split}/{shards.name(row)}", partial(read_row, shards, row))
        for split in splits
        for row in shards.rows(split, CLEAN).tolist()
    ]


def read_row(shards: ShardSet, row: int) -> np.ndarray:
    """An image of a set of shards as (H, W, 3) uint8."""
    image = shards.read(row)
    return to_array(to_uint8(image) if image.is_floating_point() else image)


def _matching(place: Path) -> list[Path]:
    """A place, or the places that a pattern names."""
    if place.exists():
        return [place]
    found = [Path(name) for name in sorted(glob(str(place)))]  # noqa: PTH207  # a whole path of the user's
    if not found:
        raise UserError(f"{place}: no such file or folder: give a folder of images, or of shards")
    return found
