"""Check that tar shards hold what their index says, byte by byte."""

import io
import tarfile
import zlib
from pathlib import PurePosixPath

import numpy as np
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from restore_lightning.data.shards.index import DTYPES, FILE, checksum
from restore_lightning.data.shards.reader import MANIFEST, ShardSet


def verify(shards: ShardSet, workers: int = 0) -> list[str]:
    """Read every shard.

    Args:
        shards: The set; its shards are there and have the sizes that the index says.
        workers: Processes that read.

    Returns:
        What is wrong, one line each.
    """
    tasks = DataLoader(_ShardProblems(shards), batch_size=None, num_workers=workers, collate_fn=list)
    found = tqdm(tasks, unit="shard", desc=shards.folder.name, disable=None)
    problems = [problem for problems in found for problem in problems]
    try:
        with (shards.folder / MANIFEST).open("rb") as file:
            if checksum(file) != shards.index.about.get("manifest_crc32"):
                problems.append(f"{MANIFEST} differs from the one that was written")
    except OSError as error:
        problems.append(f"{MANIFEST} cannot be read: {error.strerror}")
    return problems


class _ShardProblems(Dataset[list[str]]):
    """Item i is what is wrong with shard i."""

    def __init__(self, shards: ShardSet) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return len(self.shards.index.shards)

    def __getitem__(self, number: int) -> list[str]:
        shards = self.shards
        name = shards.index.shards[number].name
        with (shards.folder / name).open("rb") as file:
            if checksum(file) == shards.index.shards[number].crc32:
                return []
        rows = np.flatnonzero(shards.index.members["shard"] == number)
        expected = {
            int(offset): int(row) for row, offset in zip(rows, shards.index.members["offset"][rows], strict=True)
        }
        problems = []
        try:
            with tarfile.open(shards.folder / name, "r:") as tar:
                for member in tar:
                    row = expected.pop(member.offset_data, None)
                    problem = "is not in the index" if row is None else self._problem(tar, member, row)
                    if problem:
                        problems.append(f"{name}: {member.name} {problem}")
        except (tarfile.TarError, OSError) as error:
            problems.append(f"{name} cannot be read as a tar file: {error}")
        problems += [f"{name}: {shards.name(row)} of the index is not there" for row in expected.values()]
        return problems or [f"{name} is damaged between its images: its checksum differs from the index's"]

    def _problem(self, tar: tarfile.TarFile, member: tarfile.TarInfo, row: int) -> str | None:
        """What is wrong with one member."""
        shards = self.shards
        stored = shards.index.members[row]
        if not member.isreg():
            return "is no file (a link or a folder)"
        version = shards.index.versions[stored["version"]]
        if str(PurePosixPath(member.name).with_suffix("")) != f"{shards.sample_name(row)}.{version}":
            return f"has another name than the index says ({shards.sample_name(row)}.{version})"
        file = tar.extractfile(member)
        data = b"" if file is None else file.read()
        if len(data) != stored["bytes"]:
            return f"has {len(data)} bytes, the index says {stored['bytes']}"
        if zlib.crc32(data) != stored["crc32"]:
            return "is damaged: its checksum differs from the index's"
        if stored["dtype"] == FILE:
            return None
        shape, dtype = _npy_header(data)
        if shape != (stored["height"], stored["width"], 3) or dtype != DTYPES[stored["dtype"]]:
            return f"is an array of {shape} {dtype}, the index says otherwise"
        return None


def _npy_header(data: bytes) -> tuple[tuple[int, ...], str]:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError:
        return (), "nothing that NumPy reads"
    return array.shape, str(array.dtype)
