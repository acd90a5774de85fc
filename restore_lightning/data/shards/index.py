"""The index of tar shards: where each image lies. A million members open at once, because they are a few arrays."""

import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from restore_lightning.errors import UserError
from restore_lightning.io.file_views import View
from restore_lightning.io.files import written_beside

INDEX = "index.npz"
FORMAT = 2
MEMBER = np.dtype(
    [
        ("sample", "<u4"),
        ("shard", "<u4"),
        ("offset", "<u8"),
        ("bytes", "<u8"),
        ("crc32", "<u4"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("dtype", "u1"),
        ("version", "<u2"),
        ("factors", "<u2"),
        ("view", "<u2"),
    ]
)
"""One stored image: `offset` and `bytes` are those of its tar member's data, the last four are numbers in tables."""
SAMPLE = np.dtype([("split", "<u2"), ("sequence", "<u4")])
DTYPES = ("uint8", "float32", "file")
"""Of (H, W, 3) arrays; "file" is an encoded image file, to be seen through its `View`."""
FILE = DTYPES.index("file")
START = 4096
"""Bytes at a shard's start that tell it from another of its name and size."""
SHARD = re.compile(r"\w+-\d{6}\.tar")
SPLIT = re.compile(r"\w+")
VERSION = re.compile(r"\w+(-\d+)?(\+\w+)*")
NO_NAME_ON_WINDOWS = frozenset(b"\\:")
NO_NAME = NO_NAME_ON_WINDOWS if os.name == "nt" else frozenset[int]()
"""Bytes that no sample's name may hold: they would make a path of it that leads elsewhere."""


class Shard(NamedTuple):
    """A tar file of the set.

    Args:
        name: Of the file.
        bytes: Its size.
        start: CRC-32 of its first `START` bytes.
        crc32: Of all of it.
    """

    name: str
    bytes: int
    start: int
    crc32: int


@dataclass(frozen=True)
class Index:
    """Where each image of a set lies.

    Args:
        about: What is said of the whole set, plain values.
        shards: The tar files.
        splits: Names that samples refer to by number.
        sequences: The same; "" is none.
        versions: Names that members refer to by number: "clean", "degraded", "degraded-03", "rain+haze", ...
        factors: What degrades an image, in the order of application; members refer to them by number.
        views: What is taken of a file; the same.
        samples: (S,) `SAMPLE`.
        members: (M,) `MEMBER`; a sample's come in a row, the clean one first.
        names: The samples' names in UTF-8, each with a line feed behind it.
    """

    about: Mapping[str, Any]
    shards: Sequence[Shard]
    splits: Sequence[str]
    sequences: Sequence[str]
    versions: Sequence[str]
    factors: Sequence[tuple[str, ...]]
    views: Sequence[View]
    samples: np.ndarray
    members: np.ndarray
    names: np.ndarray

    def write(self, path: Path) -> None:
        """Write it to a file."""
        tables = {key: getattr(self, key) for key in TABLES}
        header = json.dumps({"format": FORMAT, **tables}).encode()
        with written_beside(path) as beside, beside.open("wb") as file:
            np.savez(
                file,
                header=np.frombuffer(header, dtype=np.uint8),
                samples=self.samples,
                members=self.members,
                names=self.names,
            )


UNREADABLE = (zipfile.BadZipFile, zlib.error, RecursionError, OverflowError, MemoryError)
"""More that a damaged index can raise."""
TABLES = ("about", "shards", "splits", "sequences", "versions", "factors", "views")


def read_index(file: Path | BinaryIO, name: str) -> Index:
    """Read an index, and check everything in it that a later read relies on.

    Args:
        file: Path or content.
        name: What messages call it.

    Raises:
        UserError: It is damaged, of another format, or does not make sense.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            header = json.loads(stored["header"].tobytes())
            if header.pop("format") != FORMAT:
                raise ValueError(f"this version reads format {FORMAT}: pack the data again")
            index = Index(
                about=header["about"],
                shards=[Shard(*shard) for shard in header["shards"]],
                splits=header["splits"],
                sequences=header["sequences"],
                versions=header["versions"],
                factors=[tuple(names) for names in header["factors"]],
                views=[_view(*view) for view in header["views"]],
                samples=stored["samples"],
                members=stored["members"],
                names=stored["names"],
            )
        _check(index)
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, *UNREADABLE) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{name} cannot be read as an index of shards: {problem}", exit_code=1) from error
    return index


def checksum(file: BinaryIO) -> int:
    """CRC-32 of the rest of a file."""
    found = 0
    while block := file.read(2**20):
        found = zlib.crc32(block, found)
    return found


def _view(array: str | None, half: Any, border: int, size: Sequence[int] | None) -> View:
    return View(array, half, border, None if size is None else (size[0], size[1]))


def _check(index: Index) -> None:
    """Refuse numbers that point nowhere and names that lead elsewhere.

    Raises:
        ValueError: What is wrong.
    """
    samples, members = index.samples, index.members
    if samples.dtype != SAMPLE or members.dtype != MEMBER or index.names.dtype != np.uint8 or not len(members):
        raise ValueError("its arrays are not those of an index")
    for table, numbers in (
        (index.shards, members["shard"]),
        (index.versions, members["version"]),
        (index.factors, members["factors"]),
        (index.views, members["view"]),
        (DTYPES, members["dtype"]),
        (index.splits, samples["split"]),
        (index.sequences, samples["sequence"]),
    ):
        if numbers.max() >= len(table):
            raise ValueError("a number points outside its table")
    steps = np.diff(members["sample"].astype(np.int64), prepend=-1)
    if ((steps != 0) & (steps != 1)).any() or members["sample"][-1] + 1 != len(samples):
        raise ValueError("members are not in the order of their samples")
    for shard in index.shards:
        if not SHARD.fullmatch(shard.name):
            raise ValueError(f"{shard.name!r} is no name of a shard")
    for split in index.splits:
        if not SPLIT.fullmatch(split):
            raise ValueError(f"{split!r} is no name of a split")
    if len(np.unique(samples["split"])) < len(index.splits) or len(set(index.splits)) < len(index.splits):
        raise ValueError("a split has no samples, or stands twice")
    for version in index.versions:
        if not VERSION.fullmatch(version):
            raise ValueError(f"{version!r} is no name of a version")
    sizes = np.array([shard.bytes for shard in index.shards], dtype=np.uint64)[members["shard"]]
    if (members["offset"] > sizes).any() or (members["bytes"] > sizes - members["offset"]).any():
        raise ValueError("a member ends after its shard")
    itemsize = np.array([1, 4, 0], dtype=np.float64)[members["dtype"]]
    if (members["height"].astype(np.float64) * members["width"] * 3 * itemsize > members["bytes"]).any():
        raise ValueError("an image is larger than its member")
    if not members["height"].all() or not members["width"].all():
        raise ValueError("an image has no pixels")
    names = index.names.tobytes()
    if names.count(b"\n") != len(samples) or not names.endswith(b"\n"):
        raise ValueError("it does not have a name for each sample")
    # Plain searches: a million names are looked through at every start.
    within = b"\n" + names
    if any(wrong in within for wrong in (b"\n/", b"\n\n", b"/../", b"\n../", b"/..\n", b"\n..\n")):
        raise ValueError("a name leads out of its folder")
    if NO_NAME & {*np.unique(index.names).tolist()}:
        raise ValueError("a name holds a backslash or a colon, which Windows takes for another place")
    if ((index.names < 0x20) & (index.names != ord("\n")) | (index.names == 0x7F)).any():
        raise ValueError("a name holds control characters")
    names.decode()
    if any(index.versions[number] != "clean" for number in np.unique(members["version"][steps != 0])):
        raise ValueError("a sample does not begin with its clean image")
