"""Tar shards of uncompressed images: written with webdataset, read row by row without decoding.

A sample is a clean image and its versions: `NAME.clean.npy`, `NAME.rain.npy`, ... in one shard, (H, W, 3)
uint8 each, so that webdataset groups them too. `manifest.jsonl` beside the shards says where each array
starts and how it was made.
"""

import io
import json
import re
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from webdataset import TarWriter

from restore_lightning.data.sources import Window
from restore_lightning.degradations import DEGRADATIONS
from restore_lightning.errors import UserError
from restore_lightning.images import to_array

MANIFEST = "manifest.jsonl"
SHARD = re.compile(r"(train|val|test)-\d{6}\.tar")
VERSION = re.compile(r"\w+(\+\w+)*")
FORMAT = 1
SHARD_BYTES = 2**30
"""A shard is closed once it holds this much."""


class Sample(NamedTuple):
    """A clean image and its versions.

    Args:
        split: Which part of the set it belongs to: "train", "val" or "test".
        name: Unique in its split.
        images: Version -> (3, H, W) uint8, all of one size; one of them is "clean".
        about: Version -> how it was made, plain values.
    """

    split: str
    name: str
    images: Mapping[str, Tensor]
    about: Mapping[str, Mapping[str, Any]]


class ShardWriter:
    """Writes samples to `SPLIT-NNNNNN.tar` and `manifest.jsonl`; the same samples give the same bytes.

    Args:
        folder: An empty folder.
        about: What the manifest says of the whole set, plain values.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self._manifest = (folder / MANIFEST).open("w")
        self._manifest.write(json.dumps({"format": FORMAT, **about}) + "\n")
        self._stack = ExitStack()
        self._tar: TarWriter | None = None
        self._shard, self._written, self._pending = "", 0, list[dict[str, Any]]()
        self._shards: dict[str, int] = {}

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._close_shard()
        self._manifest.close()

    def write(self, sample: Sample) -> None:
        """Add a sample to its split's shard; the samples of a split come in a row."""
        if not self._shard.startswith(f"{sample.split}-") or self._written > SHARD_BYTES:
            self._close_shard()
            self._open_shard(sample.split)
        assert self._tar is not None
        members = {f"{version}.npy": _npy(image) for version, image in sample.images.items()}
        self._written += self._tar.write({"__key__": sample.name, **members})
        channels, height, width = sample.images["clean"].shape
        shape = [height, width, channels]
        line = {"split": sample.split, "name": sample.name, "shard": self._shard, "shape": shape}
        self._pending.append(line | {"versions": {version: dict(sample.about[version]) for version in sample.images}})

    def _open_shard(self, split: str) -> None:
        number = self._shards.get(split, 0)
        self._shards[split] = number + 1
        self._shard, self._written = f"{split}-{number:06d}.tar", 0
        file = self._stack.enter_context((self.folder / self._shard).open("wb"))
        # A fixed time: the seed alone decides the bytes.
        self._tar = self._stack.enter_context(TarWriter(file, encoder=False, mtime=0))

    def _close_shard(self) -> None:
        self._stack.close()
        if self._pending:
            with tarfile.open(self.folder / self._shard) as tar:
                data = {member.name: member.offset_data for member in tar}
        for line in self._pending:
            for version, about in line["versions"].items():
                about["offset"] = data[f"{line['name']}.{version}.npy"] + _header_size(line["shape"])
            self._manifest.write(json.dumps(line) + "\n")
        self._pending.clear()


def is_set(folder: Path) -> bool:
    """Whether a folder holds what `ShardWriter` wrote, and nothing else."""
    try:
        with (folder / MANIFEST).open() as file:
            known = json.loads(file.readline())["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return known and all(path.name == MANIFEST or SHARD.fullmatch(path.name) for path in folder.iterdir())


class ShardSet:
    """Reads what `ShardWriter` wrote; fork-safe, nothing is kept open.

    Args:
        folder: The folder of the shards and their manifest.

    Raises:
        UserError: No manifest, one that cannot be read, or shards that are missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MANIFEST
        self.samples: dict[str, list[dict[str, Any]]] = {}
        try:
            header, *lines = path.read_text().splitlines()
            self.about: dict[str, Any] = json.loads(header)
            if self.about["format"] != FORMAT:
                raise ValueError(f"its format is {self.about['format']}, this version reads {FORMAT}: write it again")
            for sample in map(json.loads, lines):
                _check(sample)
                self.samples.setdefault(sample["split"], []).append(sample)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{path} cannot be read as a manifest: {problem}", exit_code=1) from error
        shards = {sample["shard"] for samples in self.samples.values() for sample in samples}
        missing = sorted(shard for shard in shards if not (folder / shard).is_file())
        if missing:
            raise UserError(f"{len(missing)} of {len(shards)} shards of {folder} are missing: {missing[0]}", 1)

    def versions(self, split: str) -> list[str]:
        """The versions of a split's images, "clean" left out."""
        samples = self.samples.get(split, [])
        return [version for version in samples[0]["versions"] if version != "clean"] if samples else []

    def read(self, sample: Mapping[str, Any], version: str, window: Window | None = None) -> Tensor:
        """A version of a sample, or a window of it; only its rows are read.

        Args:
            sample: One of `samples`.
            version: One of its versions.
            window: Which part; None: the whole image.

        Returns:
            (3, h, w) uint8.

        Raises:
            UserError: The shard ends too early.
        """
        height, width, channels = sample["shape"]
        top, left, h, w = window or Window(0, 0, height, width)
        row = width * channels
        with (self.folder / sample["shard"]).open("rb", buffering=0) as file:
            file.seek(sample["versions"][version]["offset"] + top * row)
            rows = bytearray(h * row)
            if file.readinto(rows) != len(rows):
                raise UserError(f"{file.name} is cut short: {sample['name']}.{version} cannot be read", exit_code=1)
        array = np.frombuffer(rows, dtype=np.uint8).reshape(h, width, channels)[:, left : left + w]
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


def _check(sample: Mapping[str, Any]) -> None:
    """Refuse a line of a manifest that this module did not write: paths that lead elsewhere, sizes that are none.

    Raises:
        ValueError: What is wrong with it.
    """
    for key, value in (("name", sample["name"]), ("shard", sample["shard"])):
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or (key == "shard" and path.name != value):
            raise ValueError(f"{key} {value!r} leads out of the folder")
    height, width, channels = sample["shape"]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0 and channels == 3):
        raise ValueError(f"shape {sample['shape']} is no (height, width, 3)")
    for version, about in sample["versions"].items():
        if not VERSION.fullmatch(version):
            raise ValueError(f"version {version!r} is no name")
        if not isinstance(about["offset"], int) or about["offset"] < 0:
            raise ValueError(f"offset {about['offset']} of {version!r} is no place in a file")
        unknown = [] if version == "clean" else [name for name in about["factors"] if name not in DEGRADATIONS]
        if unknown or (version != "clean" and not about["factors"]):
            raise ValueError(f"factors {list(about['factors'])} of {version!r}: name some of {', '.join(DEGRADATIONS)}")


def _npy(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, to_array(image))
    return buffer.getvalue()


def _header_size(shape: list[int]) -> int:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})
    return header.tell()
