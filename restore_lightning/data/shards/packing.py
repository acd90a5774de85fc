"""Pack samples into a set of tar shards: the same bytes for any number of processes, going on after a kill.

Finished shards, each beside its notes (`train-000000.json`), are kept in `.NAME.packing` until all are there.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from restore_lightning.data.shards.index import FORMAT
from restore_lightning.data.shards.reader import is_set
from restore_lightning.data.shards.samples import Sample
from restore_lightning.data.shards.writer import Packed, write_index, write_shard
from restore_lightning.errors import LISTED, UserError, shortened_list, shortened_text
from restore_lightning.io.files import NO_LOCKS, locked_exclusively, write_text

log = logging.getLogger(__name__)

SHARD_BYTES = 2**28
"""A shard is closed before it would hold more than this."""
LONGEST = 200
"""Bytes of a split's name: with what is put before and behind it a file's has at most 255."""
Plan = Mapping[str, Sequence[Sample]]
"""Name of a shard without suffix -> its samples."""


def check_set_folder(output: Path, overwrite: bool) -> None:
    """Refuse a folder to write before anything is computed for it.

    Raises:
        UserError: There is something that may not be replaced, or no place for a folder.
    """
    if output.exists() and not (output.is_dir() and is_set(output)):
        raise UserError(f"{output} exists already and is no data set of ours: choose another folder")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already: give --overwrite, or choose another folder")
    if output.parent.exists() and not output.parent.is_dir():
        raise UserError(f"{output.parent} is no folder: choose another place")


def pack(
    samples: Sequence[Sample],
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
        samples: The samples; those of a split in a row.
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
    plan = _plan(samples, shard_bytes)
    work = output.with_name(f".{output.name}.packing")
    work.parent.mkdir(parents=True, exist_ok=True)
    with _locked(work):
        work.mkdir(exist_ok=True)
        try:
            packed = _write_missing_shards(work, plan, about, workers, allowed, left_out)
            check_set_folder(output, overwrite)  # it may have appeared meanwhile
        except BaseException:
            if not _finished_shards(work, plan):
                shutil.rmtree(work, ignore_errors=True)
            raise
        replaced = work.with_name(f"{work.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if output.exists():
            output.rename(replaced)
        work.rename(output)
        for path in output.glob("*.json"):  # kept until here: the set is finished only now
            path.unlink()
        shutil.rmtree(replaced, ignore_errors=True)
    return packed


def _write_missing_shards(
    work: Path,
    plan: Plan,
    about: Mapping[str, Any],
    workers: int,
    allowed: int,
    left_out: Sequence[str],
) -> Packed:
    """Write the shards that are not there yet, then index and manifest."""
    for path in work.iterdir():
        if path.stem not in plan:
            path.unlink()  # of an earlier plan, or half a file
    _check_space(work, plan)
    problems, flawed = list(left_out), list[str]()
    # A DataLoader's workers end with their parent, whatever ended it.
    tasks = DataLoader(_ShardWriter(work, plan), batch_size=None, num_workers=workers, collate_fn=_unchanged)
    try:
        total = sum(map(len, plan.values()))
        with tqdm(total=total, unit="sample", desc=work.name.split(".")[1], disable=None) as bar:
            for shard, found in zip(plan, tasks, strict=True):
                problems += found
                flawed += [shard] if found else []
                bar.update(len(plan[shard]))
        if len(problems) <= allowed:
            packed = write_index(work, list(plan), about)
    except (OSError, UserError) as error:
        done = f"{_finished_shards(work, plan)} of {len(plan)} shards are finished and kept in {work}"
        raise UserError(f"{_told(error)}: {done}; mend this and give the same command again", exit_code=1) from error
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


def _finished_shards(work: Path, plan: Plan) -> int:
    return sum((work / f"{shard}.json").is_file() for shard in plan)


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Keep the folder for this process; where the file system has no locks, say so."""
    path = work.with_name(f"{work.name}.lock")  # beside it: Windows renames no folder with an open file in it
    try:
        lock = locked_exclusively(path)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning(
            "the file system of %s has no locks (%s): make sure that no other process packs there",
            work.parent,
            error.strerror,
        )
        lock = FileLock(path)
    if lock is None:
        raise UserError(f"another process is writing {work}: wait for it, or choose another folder", 1)
    try:
        yield
    finally:
        with suppress(PermissionError):  # on Windows the lock itself removes it
            path.unlink(missing_ok=True)
        lock.release()


def _plan(samples: Sequence[Sample], shard_bytes: int) -> dict[str, list[Sample]]:
    """Name of a shard without suffix -> its samples.

    Raises:
        UserError: A split's name is too long for a file's.
    """
    plan: dict[str, list[Sample]] = {}
    numbers: dict[str, int] = {}
    current, held = "", 0
    for sample in samples:
        if len(sample.split.encode()) > LONGEST:
            raise UserError(f"split {shortened_text(sample.split, 20)}: its name is part of files', give a shorter one")
        if not current.startswith(f"{sample.split}-") or held + sample.bytes > shard_bytes:
            number = numbers.get(sample.split, 0)
            numbers[sample.split] = number + 1
            current, held = f"{sample.split}-{number:06d}", 0
            plan[current] = []
        plan[current].append(sample)
        held += sample.bytes
    return plan


def _check_space(work: Path, plan: Plan) -> None:
    missing = [samples for shard, samples in plan.items() if not (work / f"{shard}.json").is_file()]
    needed = sum(sample.bytes for samples in missing for sample in samples)
    free = shutil.disk_usage(work).free
    if needed > free:
        raise UserError(
            f"{work.parent} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed: make room, or choose"
            " another place",
            exit_code=1,
        )


def _told(error: OSError | UserError) -> str:
    """What went wrong, with the file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _unchanged(value: Any) -> Any:
    """Keeps a DataLoader from converting a worker's answer."""
    return value


class _ShardWriter(Dataset[list[str]]):
    """Item i writes shard i, unless it is there, and is the list of its problems."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.parts = list(plan.items())

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> list[str]:
        torch.set_num_threads(1)
        name, samples = self.parts[number]
        path, notes = self.folder / f"{name}.tar", self.folder / f"{name}.json"
        try:
            state = sha256(repr([FORMAT, *(sample.state() for sample in samples)]).encode()).hexdigest()
        except OSError as error:
            raise UserError(_told(error), exit_code=1) from error
        try:
            kept = json.loads(notes.read_text(encoding="utf-8"))
            if kept["state"] == state and kept["bytes"] == path.stat().st_size:
                return list(kept["problems"])
        except (OSError, ValueError):
            pass
        try:
            notes.unlink(missing_ok=True)
            written = {"state": state, **write_shard(path, samples)}
            write_text(notes, json.dumps(written))
        except OSError as error:
            raise UserError(_told(error), exit_code=1) from error
        return list(written["problems"])
