"""Write tar shards: by several processes, the same bytes for any number of them, and resumed where a kill left them."""

import fcntl
import io
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from webdataset import TarWriter

from restore_lightning.data.shards.index import DTYPES, FORMAT, INDEX, MEMBER, SAMPLE, START, Index, Shard, checksum
from restore_lightning.data.shards.reader import MANIFEST, is_set
from restore_lightning.data.shards.samples import Member, Recipe
from restore_lightning.errors import LISTED, UserError, shortened_list
from restore_lightning.io.files import write_text, written_beside
from restore_lightning.io.views import View

SHARD_BYTES = 2**28
"""A shard is closed before it would hold more than this."""


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


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse to write over what is there.

    Raises:
        UserError: Something is, or there is no place for a folder.
    """
    if output.exists() and not (output.is_dir() and is_set(output)):
        raise UserError(f"{output} exists already and is no data set of ours: choose another folder")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already: give --overwrite, or choose another folder")
    if output.parent.exists() and not output.parent.is_dir():
        raise UserError(f"{output.parent} is no folder: choose another place")


def pack(
    recipes: Sequence[Recipe],
    output: Path,
    about: Mapping[str, Any],
    workers: int = 0,
    allowed: int = 0,
    overwrite: bool = False,
    shard_bytes: int = SHARD_BYTES,
    left_out: Sequence[str] = (),
) -> Packed:
    """Write a set of shards to a folder, which appears whole or not at all and replaces a set that is there.

    Finished shards are kept in `.NAME.packing` beside it, and used by the next call where what they are made of is
    the same.

    Args:
        recipes: The samples; those of a split in a row.
        output: The folder.
        about: What is said of the whole set, plain values.
        workers: Processes that make samples.
        allowed: How many may be left out.
        overwrite: Whether a set that is there may be replaced.
        shard_bytes: A shard is closed before it would hold more.
        left_out: Problems that were found before.

    Raises:
        UserError: More samples than allowed cannot be read, another process packs here, or the disk is full.
    """
    plan = _shards_of(recipes, shard_bytes)
    work = output.with_name(f".{output.name}.packing")
    work.mkdir(parents=True, exist_ok=True)
    with _alone(work):
        try:
            packed = _packed(work, plan, about, workers, allowed, left_out)
            check_output(output, overwrite)  # it may have appeared meanwhile
        except BaseException:
            if not _finished(work, plan):
                shutil.rmtree(work)
            raise
        replaced = work.with_name(f"{work.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if output.exists():
            output.rename(replaced)
        work.rename(output)
        for path in (output / LOCK, *output.glob("*.json")):  # kept until here: the set is finished only now
            path.unlink()
        shutil.rmtree(replaced, ignore_errors=True)
    return packed


def _packed(
    work: Path,
    plan: Mapping[str, Sequence[Recipe]],
    about: Mapping[str, Any],
    workers: int,
    allowed: int,
    left_out: Sequence[str],
) -> Packed:
    """Write what is not there yet."""
    for path in work.iterdir():
        if path.stem not in plan and path.name != LOCK:
            path.unlink()  # of an earlier plan, or half a file
    _check_space(work, plan)
    problems, flawed = list(left_out), list[str]()
    # A DataLoader's workers end with their parent, whatever ended it.
    tasks = DataLoader(_Shards(work, plan), batch_size=None, num_workers=workers, collate_fn=_as_it_is)
    try:
        total = sum(map(len, plan.values()))
        with tqdm(total=total, unit="sample", desc=work.name.split(".")[1], disable=None) as bar:
            for shard, found in zip(plan, tasks, strict=True):
                problems += found
                flawed += [shard] if found else []
                bar.update(len(plan[shard]))
        if len(problems) <= allowed:
            packed = _finish(work, list(plan), about)
    except (OSError, UserError) as error:
        done = f"{_finished(work, plan)} of {len(plan)} shards are finished and kept in {work}"
        cause = getattr(error, "strerror", error)
        raise UserError(f"{cause}: {done}; mend this and give the same command again", exit_code=1) from error
    if len(problems) > allowed:
        for shard in flawed:
            (work / f"{shard}.json").unlink()
        raise UserError(
            f"{len(problems)} images cannot be packed: {shortened_list(problems, LISTED)}; mend them and give the same"
            f" command again, or leave them out by --allow-missing {len(problems)}",
            exit_code=1,
        )
    if not packed.members:
        raise UserError(f"none of the samples can be read: {shortened_list(problems, LISTED)}", exit_code=1)
    packed.problems = problems
    return packed


def _finished(work: Path, plan: Mapping[str, Sequence[Recipe]]) -> int:
    return sum((work / f"{shard}.json").is_file() for shard in plan)


LOCK = "lock"


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Only one process at a time; the lock ends with it, however it ends, and its children do not have it."""
    with (work / LOCK).open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another process is writing {work}: wait for it, or choose another folder", 1) from error
        yield


def _shards_of(recipes: Sequence[Recipe], shard_bytes: int) -> dict[str, list[Recipe]]:
    """Name of a shard without suffix -> its samples."""
    plan: dict[str, list[Recipe]] = {}
    numbers: dict[str, int] = {}
    current, held = "", 0
    for recipe in recipes:
        if not current.startswith(f"{recipe.split}-") or held + recipe.bytes > shard_bytes:
            number = numbers.get(recipe.split, 0)
            numbers[recipe.split] = number + 1
            current, held = f"{recipe.split}-{number:06d}", 0
            plan[current] = []
        plan[current].append(recipe)
        held += recipe.bytes
    return plan


def _check_space(work: Path, plan: Mapping[str, Sequence[Recipe]]) -> None:
    needed = sum(r.bytes for shard, part in plan.items() if not (work / f"{shard}.json").is_file() for r in part)
    free = shutil.disk_usage(work).free
    if needed > free:
        raise UserError(
            f"{work.parent} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed: make room, or choose"
            " another place",
            exit_code=1,
        )


def _as_it_is(value: Any) -> Any:
    """For a DataLoader that neither batches nor converts."""
    return value


class _Shards(Dataset[list[str]]):
    """Item i writes shard i, unless it is there, and is the list of its problems."""

    def __init__(self, folder: Path, plan: Mapping[str, Sequence[Recipe]]) -> None:
        self.folder = folder
        self.parts = list(plan.items())

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> list[str]:
        torch.set_num_threads(1)
        name, recipes = self.parts[number]
        path, notes = self.folder / f"{name}.tar", self.folder / f"{name}.json"
        try:
            state = sha256(repr([FORMAT, *(recipe.state() for recipe in recipes)]).encode()).hexdigest()
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}", exit_code=1) from error
        try:
            kept = json.loads(notes.read_text())
            if kept["state"] == state and kept["bytes"] == path.stat().st_size:
                return list(kept["problems"])
        except (OSError, ValueError):
            pass
        notes.unlink(missing_ok=True)
        try:
            written = {"state": state, **_write_shard(path, recipes)}
            write_text(notes, json.dumps(written))
        except OSError as error:
            raise UserError(f"{error.filename or path.name}: {error.strerror or error}", exit_code=1) from error
        return list(written["problems"])


def _write_shard(path: Path, recipes: Sequence[Recipe]) -> dict[str, Any]:
    samples, problems = [], []
    with written_beside(path) as beside:
        # A fixed time: the samples alone decide the bytes.
        with beside.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
            for recipe in recipes:
                try:
                    members = recipe.members()
                except UserError as error:
                    problems.append(str(error))
                    continue
                data = {f"{member.version}.{member.suffix}": _stored(member.data) for member in members}
                tar.write({"__key__": recipe.name, **data})
                samples.append(_notes(recipe, members, list(data.values())))
        with tarfile.open(beside) as opened:
            offsets = {member.name: member.offset_data for member in opened}
        size = beside.stat().st_size
        with beside.open("rb") as begun:
            start = zlib.crc32(begun.read(START))
            begun.seek(0)
            whole = checksum(begun)
    for sample in samples:
        for member in sample["members"]:
            member["offset"] = offsets[f"{sample['name']}.{member['version']}.{member.pop('suffix')}"]
    return {"bytes": size, "start": start, "crc32": whole, "samples": samples, "problems": problems}


def _notes(recipe: Recipe, members: Sequence[Member], data: Sequence[bytes]) -> dict[str, Any]:
    return {
        "split": recipe.split,
        "name": recipe.name,
        "sequence": recipe.sequence,
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


def _finish(work: Path, names: Sequence[str], about: Mapping[str, Any]) -> Packed:
    """Write index and manifest from the notes of all shards."""
    packed, shards = Packed(), list[Shard]()
    tables: dict[str, dict[Any, int]] = {key: {} for key in ("splits", "sequences", "versions", "factors", "views")}

    def number(table: str, entry: Any) -> int:
        return tables[table].setdefault(entry, len(tables[table]))

    samples: list[tuple[int, ...]] = []
    members: list[tuple[int, ...]] = []
    sample_names: list[str] = []
    with (work / MANIFEST).open("w") as manifest:
        manifest.write(json.dumps({"format": FORMAT, **about}) + "\n")
        for name in names:
            notes = json.loads((work / f"{name}.json").read_text())
            if not notes["samples"]:
                (work / f"{name}.tar").unlink()
                continue
            for sample in notes["samples"]:
                for member in sample["members"]:
                    array, half, border, size = member["view"]
                    view = View(array, half, border, size and tuple(size))
                    members.append(
                        (
                            len(samples),
                            len(shards),
                            member["offset"],
                            member["bytes"],
                            member["crc32"],
                            *member["shape"],
                            DTYPES.index(member["dtype"]),
                            number("versions", member["version"]),
                            number("factors", tuple(member["factors"])),
                            number("views", view),
                        )
                    )
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
    with (work / MANIFEST).open("rb") as file:
        about = {**about, "manifest_crc32": checksum(file)}
    Index(
        about=about,
        shards=shards,
        **{key: list(table) for key, table in tables.items()},
        samples=np.array(samples, dtype=SAMPLE),
        members=np.array(members, dtype=MEMBER),
        names=np.frombuffer("".join(f"{name}\n" for name in sample_names).encode(), dtype=np.uint8),
    ).write(work / INDEX)
    return packed


def _stored(data: np.ndarray | bytes) -> bytes:
    if isinstance(data, bytes):
        return data
    buffer = io.BytesIO()
    np.save(buffer, data)
    return buffer.getvalue()
