"""Read tar shards: a crop reads its rows and nothing else, and decodes nothing.

A sample is a clean image and its versions: `NAME.clean.npy`, `NAME.degraded.npy`, `NAME.rain.npy`, ... in one shard,
(H, W, 3) each, so that webdataset groups them too. `index.npz` says where each lies (`index.py`), `manifest.jsonl`
how it was made.
"""

import os
import zlib
from functools import lru_cache
from io import BytesIO, FileIO
from pathlib import Path
from threading import local

import numpy as np
import torch
from torch import Tensor

from restore_lightning.data.shards.index import DTYPES, FILE, INDEX, SHARD, START, read_index
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.file_views import read_whole
from restore_lightning.io.files import check_is_folder
from restore_lightning.io.pixel_windows import Window
from restore_lightning.io.waiting import read_patiently

MANIFEST = "manifest.jsonl"
CLEAN, DEGRADED = "clean", "degraded"
OPEN_FILES = 64
"""Shards of a set that a process keeps open."""


def _read_at(file: FileIO, buffer: memoryview, start: int) -> int:
    """Fill a buffer from a place in a file that other threads and processes read too; how many bytes there were."""
    if hasattr(os, "preadv"):
        return os.preadv(file.fileno(), [buffer], start)
    with Path(file.name).open("rb", buffering=0) as own:  # Windows: a place of its own
        own.seek(start)
        return own.readinto(buffer)


def is_set(folder: Path) -> bool:
    """Whether a folder holds a set of shards, and nothing else."""
    if not (folder / INDEX).is_file():
        return False
    # Notes (.json) stay where packing was killed in its last moment.
    names = [path.name.removesuffix(".json") + ".tar" * path.name.endswith(".json") for path in folder.iterdir()]
    return all(name in (INDEX, MANIFEST) or SHARD.fullmatch(name) for name in names)


class ShardSet:
    """A folder of tar shards; safe to use in forked and spawned processes.

    Args:
        folder: Holds the shards and their index.

    Raises:
        UserError: No index, one that cannot be read, or shards that are missing or not the index's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        check_is_folder(folder, "one that `restore shards pack` or `restore mix` wrote")
        if not (folder / INDEX).is_file():
            raise UserError(f"{folder} has no {INDEX}: write it by `restore shards pack` or `restore mix`")
        self.index = read_index(folder / INDEX, str(folder / INDEX))
        self._check_shards()
        members = self.index.members
        self.first = np.flatnonzero(np.diff(members["sample"], prepend=members["sample"][0] + 1))
        self.ends = np.flatnonzero(self.index.names == ord("\n"))
        self._scratch = local()  # fresh memory for each read would cost more than the read
        self._opened = lru_cache(OPEN_FILES)(self._open)

    def __reduce__(self) -> tuple[type["ShardSet"], tuple[Path]]:
        """A spawned process opens the set anew."""
        return ShardSet, (self.folder,)

    @property
    def checksum(self) -> int:
        """Of the index: which images these are, and what is in them."""
        return zlib.crc32(self.index.names.tobytes(), zlib.crc32(self.index.members.tobytes()))

    @property
    def splits(self) -> list[str]:
        """Names of its splits."""
        return list(self.index.splits)

    def versions(self, split: str) -> list[str]:
        """The versions of a split's images, "clean" left out; several degraded versions count as one."""
        members = self._members_of(split)
        found = [self.index.versions[number] for number in np.unique(members["version"])]
        return [name for name in dict.fromkeys(version.split("-")[0] for version in found) if name != CLEAN]

    def rows(self, split: str, version: str) -> np.ndarray:
        """Members of a split that are a version; of "degraded" all that are there."""
        numbers = [i for i, name in enumerate(self.index.versions) if name.split("-")[0] == version]
        members = self.index.members
        return np.flatnonzero(
            np.isin(members["version"], numbers) & (self._split_of_members() == self._split_number(split))
        )

    def clean_of(self, row: int) -> int:
        """The clean image that belongs to a member."""
        return int(self.first[self.index.members["sample"][row]])

    def size(self, row: int) -> tuple[int, int]:
        """(height, width) of a member."""
        member = self.index.members[row]
        return int(member["height"]), int(member["width"])

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """(N, 2) heights and widths of members."""
        members = self.index.members[rows]
        return np.stack([members["height"], members["width"]], axis=1)

    def name(self, row: int) -> str:
        """A member's name for tables and files: its sample's, and the number where there are several versions."""
        version = self.index.versions[self.index.members["version"][row]]
        number = version.removeprefix(DEGRADED) if version.startswith(f"{DEGRADED}-") else ""
        return self.sample_name(row) + number

    def sample_name(self, row: int) -> str:
        """The name of the sample that a member belongs to."""
        sample = int(self.index.members["sample"][row])
        start = self.ends[sample - 1] + 1 if sample else 0
        return self.index.names[start : self.ends[sample]].tobytes().decode()

    def factors(self, row: int) -> tuple[str, ...]:
        """What degrades a member, in the order of application; nothing where the set does not say."""
        return self.index.factors[self.index.members["factors"][row]]

    def read(self, row: int, window: Window | None = None) -> Tensor:
        """A member, or a window of it.

        Args:
            row: Its number.
            window: Which part; None: the whole image.

        Returns:
            (3, h, w) uint8, or float32 in [0, 1]; strided.

        Raises:
            UserError: The shard is gone or ends too early.
        """
        _, shard, offset, size, _, height, width, dtype, _, _, view = self.index.members[row].item()
        if dtype == FILE:
            taken = self.index.views[view]
            name = f"{self.index.shards[shard].name}: {self.name(row)}"
            image = taken.of(read_whole(BytesIO(self._bytes(shard, offset, size)), name, taken.array))
            return image if window is None else window.cut(image)
        top, left, h, w = window or Window(0, 0, height, width)
        kind = np.dtype(DTYPES[dtype])
        pixel = 3 * kind.itemsize
        line = width * pixel
        # The array is the end of its member. From the window's first pixel to its last, in one read.
        start = offset + size - height * line + top * line + left * pixel
        data = self._bytes(shard, start, (h - 1) * line + w * pixel)
        array = np.ndarray((h, w, 3), kind, data, strides=(line, pixel, kind.itemsize))
        return torch.from_numpy(array.copy()).permute(2, 0, 1)

    def _bytes(self, shard: int, start: int, count: int) -> memoryview:
        """A part of a shard, until the next one is read."""
        path = self.folder / self.index.shards[shard].name
        return read_patiently(lambda: self._bytes_now(path, shard, start, count), path)

    def _bytes_now(self, path: Path, shard: int, start: int, count: int) -> memoryview:
        kept = getattr(self._scratch, "bytes", bytearray())
        if len(kept) < count:
            kept = self._scratch.bytes = bytearray(count)
        buffer = memoryview(kept)[:count]
        try:
            read = _read_at(self._opened(shard), buffer, start)
        except OSError as error:
            self._opened.cache_clear()  # where the file system was away, open files stay unreadable
            raise UserError(f"{path} cannot be read: {error.strerror}", exit_code=1) from error
        if read != count:
            raise UserError(f"{path} is cut short: pack the data again", exit_code=1)
        return buffer

    def _open(self, shard: int) -> FileIO:
        return FileIO(self.folder / self.index.shards[shard].name)

    def _split_number(self, split: str) -> int:
        return list(self.index.splits).index(split) if split in self.index.splits else len(self.index.splits)

    def _split_of_members(self) -> np.ndarray:
        numbers: np.ndarray = self.index.samples["split"][self.index.members["sample"]]
        return numbers

    def _members_of(self, split: str) -> np.ndarray:
        members: np.ndarray = self.index.members[self._split_of_members() == self._split_number(split)]
        return members

    def _check_shards(self) -> None:
        missing, others = [], []
        for shard in self.index.shards:
            path = self.folder / shard.name
            try:
                with path.open("rb") as file:
                    start, size = zlib.crc32(file.read(START)), os.fstat(file.fileno()).st_size
            except OSError:
                missing.append(shard.name)
                continue
            if size != shard.bytes:
                others.append(f"{shard.name} has {size} bytes, the index says {shard.bytes}")
            elif start != shard.start:
                others.append(f"{shard.name} begins otherwise than the index says")
        count = len(self.index.shards)
        if missing:
            raise UserError(
                f"{len(missing)} of {count} shards of {self.folder} are missing: {shortened_list(missing)}", 1
            )
        if others:
            raise UserError(
                f"{len(others)} of {count} shards of {self.folder} are damaged or not those of {INDEX}:"
                f" {shortened_list(others)}; pack the data again",
                1,
            )
