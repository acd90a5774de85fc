"""Write tar shards and their index; `packing` decides what goes into which, and who writes it."""

import io
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from webdataset import TarWriter

from restore_lightning.data.shards.index import DTYPES, FORMAT, INDEX, MEMBER, SAMPLE, START, Index, Shard, checksum
from restore_lightning.data.shards.reader import MANIFEST
from restore_lightning.data.shards.samples import Member, Sample
from restore_lightning.errors import UserError
from restore_lightning.io.file_views import View
from restore_lightning.io.files import written_beside


@dataclass
class Packed:
    """What came of packing.

    Args:
        samples: Split -> how many.
        members: How many images.
        bytes: Of all shards.
        problems: Samples that were left out, and why.
    """

    samples: dict[str, int] = field(default_factory=dict)
    members: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def write_shard(path: Path, samples: Sequence[Sample]) -> dict[str, Any]:
    """Write a tar file of samples.

    Args:
        path: The file.
        samples: What goes into it.

    Returns:
        Its notes, plain values: what `write_index` needs of it, and the problems of samples that cannot be read.
    """
    written, problems = [], []
    with written_beside(path) as beside:
        # A fixed time: the samples alone decide the bytes.
        with beside.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
            for sample in samples:
                try:
                    members = sample.members()
                except UserError as error:
                    problems.append(str(error))
                    continue
                data = {f"{member.version}.{member.suffix}": _encoded(member.data) for member in members}
                tar.write({"__key__": sample.name, **data})
                written.append(_notes(sample, members, list(data.values())))
        with tarfile.open(beside) as opened:
            offsets = {member.name: member.offset_data for member in opened}
        size = beside.stat().st_size
        with beside.open("rb") as begun:
            start = zlib.crc32(begun.read(START))
            begun.seek(0)
            whole = checksum(begun)
    for notes in written:
        for member in notes["members"]:
            member["offset"] = offsets[f"{notes['name']}.{member['version']}.{member.pop('suffix')}"]
    return {"bytes": size, "start": start, "crc32": whole, "samples": written, "problems": problems}


def _notes(sample: Sample, members: Sequence[Member], data: Sequence[bytes]) -> dict[str, Any]:
    return {
        "split": sample.split,
        "name": sample.name,
        "sequence": sample.sequence,
        "members": [
            {
                "version": member.version,
                "suffix": member.suffix,
                "bytes": len(stored),
                "crc32": zlib.crc32(stored),
                "shape": member.shape,
                "dtype": "file" if isinstance(member.data, bytes) else str(member.data.dtype),
                "factors": member.factors,
                "view": member.view,
                "about": member.about,
            }
            for member, stored in zip(members, data, strict=True)
        ],
    }


def write_index(folder: Path, names: Sequence[str], about: Mapping[str, Any]) -> Packed:
    """Write index and manifest of a set, from the notes of its shards.

    Args:
        folder: Holds the shards and their notes.
        names: Of the shards, without suffix; those without samples are removed.
        about: What is said of the whole set, plain values.
    """
    packed, shards = Packed(), list[Shard]()
    tables: dict[str, dict[Any, int]] = {key: {} for key in ("splits", "sequences", "versions", "factors", "views")}

    def number(table: str, entry: Any) -> int:
        return tables[table].setdefault(entry, len(tables[table]))

    samples: list[tuple[int, ...]] = []
    members: list[tuple[int, ...]] = []
    sample_names: list[str] = []
    with (
        written_beside(folder / MANIFEST) as beside,
        beside.open("w", encoding="utf-8", newline="\n") as manifest,
    ):
        manifest.write(json.dumps({"format": FORMAT, **about}) + "\n")
        for name in names:
            notes = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            if not notes["samples"]:
                (folder / f"{name}.tar").unlink()
                continue
            for sample in notes["samples"]:
                for member in sample["members"]:
                    array, half, border, size = member["view"]
                    view = View(array, half, border, size and tuple(size))
                    place = (len(samples), len(shards), member["offset"], member["bytes"], member["crc32"])
                    kind = (number("versions", member["version"]), number("factors", tuple(member["factors"])))
                    dtype = DTYPES.index(member["dtype"])
                    members.append((*place, *member["shape"], dtype, *kind, number("views", view)))
                samples.append((number("splits", sample["split"]), number("sequences", sample["sequence"])))
                sample_names.append(sample["name"])
                packed.samples[sample["split"]] = packed.samples.get(sample["split"], 0) + 1
                versions = {member["version"]: member["about"] for member in sample["members"]}
                manifest.write(json.dumps({k: sample[k] for k in ("split", "name")} | {"versions": versions}) + "\n")
            shards.append(Shard(f"{name}.tar", notes["bytes"], notes["start"], notes["crc32"]))
            packed.bytes += notes["bytes"]
    packed.members = len(members)
    if not members:
        return packed
    with (folder / MANIFEST).open("rb") as file:
        about = {**about, "manifest_crc32": checksum(file)}
    Index(
        about=about,
        shards=shards,
        **{key: list(table) for key, table in tables.items()},
        samples=np.array(samples, dtype=SAMPLE),
        members=np.array(members, dtype=MEMBER),
        names=np.frombuffer("".join(f"{name}\n" for name in sample_names).encode(), dtype=np.uint8),
    ).write(folder / INDEX)
    return packed


def _encoded(data: np.ndarray | bytes) -> bytes:
    if isinstance(data, bytes):
        return data
    buffer = io.BytesIO()
    np.save(buffer, data)
    return buffer.getvalue()
