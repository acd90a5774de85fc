"""A run's data are the same on all of its processes, and those of the checkpoint that it goes on from."""

import logging
import socket
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from restore_lightning.data.index import INDEX, SHARD
from restore_lightning.errors import UserError
from restore_lightning.image_files import find_images

log = logging.getLogger(__name__)

GO_ON = "go on with --config config.yaml of its folder"


def listed(place: Path) -> str:
    """What a folder of images or shards (or a file) holds: names and sizes, for comparing and for people."""
    if place.is_file():
        files = [place]
    elif (place / INDEX).is_file():
        files = [place / INDEX, *(path for path in sorted(place.iterdir()) if SHARD.fullmatch(path.name))]
    else:
        files = list(find_images(place))
    sizes = {path.relative_to(place).as_posix(): path.stat().st_size for path in files}
    found = zlib.crc32("\n".join(f"{name} {size}" for name, size in sizes.items()).encode())
    return f"{len(sizes)} files of {sum(sizes.values())} bytes with checksum {found:08x}"


def agreed(find: Callable[[], None], describe: Callable[[], Mapping[str, Any]]) -> None:
    """Let all processes of a run find their data and compare them; all of them learn of a failure or a difference.

    Args:
        find: Finds the data; where it fails on one process, the others stop too.
        describe: Title -> what this process has found; asked where there are several processes.

    Raises:
        UserError: Two processes differ, or another one failed.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        find()
        return
    failure, found = None, {}
    try:
        find()
        found = dict(describe())
    except Exception as error:
        failure = error
    reports: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(reports, (socket.gethostname(), found, failure and str(failure)))
    if failure is not None:
        raise failure
    _compare(reports)


def _compare(reports: list[tuple[str, dict[str, Any], str | None]]) -> None:
    """Refuse failures and differences; `reports` are host, findings and failure of each rank."""
    for rank, (host, _, failure) in enumerate(reports):
        if failure is not None:
            raise UserError(f"rank {rank} ({host}) stopped: {failure}", exit_code=1)
    first, mine, _ = reports[0]
    for rank, (host, theirs, _) in enumerate(reports):
        for title in dict.fromkeys((*mine, *theirs)):
            if mine.get(title) != theirs.get(title):
                raise UserError(
                    f"the processes of this run differ in {title}: rank 0 ({first}) has {mine.get(title)}, rank {rank}"
                    f" ({host}) has {theirs.get(title)}; give all of them the same files and the same command line",
                    exit_code=1,
                )


def check_continued(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare a resumed run's data with what it was trained on; `RestorationData.state_dict` says of both.

    Raises:
        UserError: Another seed or schedule, or photographs before, procedural scenes now, or the other way round.
    """
    if (was["root"] is None) != (now["root"] is None):
        raise UserError(f"the run was trained with data.root {was['root']}, now it is {now['root']}: {GO_ON}")
    folders = was.get("folders", {}), now["folders"]
    if any(map(any, folders[0].values())) != any(map(any, folders[1].values())):
        raise UserError(
            f"the run was trained with data.factors' folders {folders[0]}, now they are {folders[1]}: {GO_ON}"
        )
    for key, name in (("seed", "seed_everything"), ("minibatches", "the schedule's minibatches per cycle")):
        if key in was and was[key] != now[key]:
            raise UserError(f"the run was trained with {name} {was[key]}, now it is {now[key]}: {GO_ON}")
    for key in [key for key in was if key in now]:
        before, after = (each if isinstance(each, dict) else {"": each} for each in (was[key], now[key]))
        for factor in before | after:
            if before.get(factor) != after.get(factor):
                of = f" of {factor}" * bool(factor)
                log.warning(
                    "resuming with other data: %s%s was %s, is %s", key, of, before.get(factor), after.get(factor)
                )
