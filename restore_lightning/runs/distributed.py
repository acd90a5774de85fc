"""Several processes train one network."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from restore_lightning.errors import UserError
from restore_lightning.runs.signals import received_signal

log = logging.getLogger(__name__)

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables by which Lightning, torchrun and Slurm number processes and machines."""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def is_rank_zero() -> bool:
    """Whether this is the process that writes the run's files, before there is a Trainer to ask."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


@contextmanager
def starting_processes() -> Iterator[None]:
    """Within the block Lightning may start a run's other processes; behind it, those of another run.

    It notes in the environment that they are there, and would wait for them in the next run.
    """
    names = (*RANKS, "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        if before["LOCAL_RANK"] is None and "LOCAL_RANK" in os.environ:
            if dist.is_initialized():
                dist.destroy_process_group()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def configure_ddp(trainer: Trainer, module: LightningModule, idle_branches: bool, sync_batchnorm: bool) -> None:
    """Make DDP look for the parameters that a step leaves without a gradient, as of branches that are not its turn.

    It waits for gradients of all parameters otherwise, and fails in the second step.

    Args:
        trainer: Of the run.
        module: What it trains.
        idle_branches: Whether a step leaves parts of it without a gradient.
        sync_batchnorm: Whether it was told to normalise over the batches of all processes.

    Raises:
        UserError: It was told not to look.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy) and idle_branches:
        # Private: only where a strategy is made can it be told in public, and Lightning makes it, by machine and flags.
        looks = strategy._ddp_kwargs.setdefault("find_unused_parameters", True)
        if not looks:
            raise UserError(
                "trainer.strategy says find_unused_parameters false, and the branches of this network are idle in turn:"
                " give --trainer.strategy ddp, or leave it out"
            )
    if trainer.world_size > 1 and not sync_batchnorm and any(isinstance(m, BATCH_NORMS) for m in module.modules()):
        log.warning(
            "the network normalises by its batch: each of %d processes by its own one. On GPUs give"
            " --trainer.sync_batchnorm true",
            trainer.world_size,
        )


def signal_on_any_rank() -> int:
    """The signal that any process of the run has got; 0: none.

    All processes must ask at the same place.
    """
    return -smallest_on_any_rank([-received_signal()])[0]


def smallest_on_any_rank(numbers: list[int]) -> list[int]:
    """Each number's smallest value over the processes of the run.

    All processes must ask at the same place. They wait for each other, and not for what their devices have to do.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return numbers
    found = torch.tensor(numbers)
    dist.all_reduce(found, dist.ReduceOp.MIN, _group_on_host(dist.group.WORLD))
    return found.tolist()


@lru_cache(maxsize=1)
def _group_on_host(world: Any) -> Any:
    """The processes of `world`, talking from memory to memory."""
    return world if dist.get_backend(world) == "gloo" else dist.new_group(backend="gloo")


def of_another_rank(error: Exception) -> bool:
    """Whether an error only says that another process of the run is gone, which had an error of its own."""
    said = str(error)
    by_gloo = "gloo/transport" in said and any(what in said for what in ("closed by peer", "reset by peer", "pipe"))
    return by_gloo or ("NCCL" in said and "remote process exited" in said)


def same_on_all_ranks(find: Callable[[], None], describe: Callable[[], Mapping[str, Any]]) -> None:
    """Let all processes of a run find their data and compare them; all of them learn of a failure or a difference.

    Args:
        find: Finds the data; where it fails on one process, the others stop too.
        describe: Title -> what this process has found; asked where there are several processes.

    Raises:
        UserError: Two processes differ, or another one failed.
    """
    if not (dist.is_available() and dist.is_initialized()):
        find()
        return
    failure, found = None, {}
    try:
        find()
        found = dict(describe())
    except Exception as error:
        failure = error
    reports: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(reports, (socket.gethostname(), found, failure and str(failure)))
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
