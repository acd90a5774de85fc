"""Several processes train one network."""

import logging
import os

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.nn.modules.batchnorm import _BatchNorm

from restore_lightning.errors import UserError
from restore_lightning.tasks import RestorationTask

log = logging.getLogger(__name__)

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables by which Lightning, torchrun and Slurm number processes and machines."""


def first_process() -> bool:
    """Whether this is the process that writes the run's files, before there is a Trainer to ask."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def prepare(trainer: Trainer, task: RestorationTask, sync_batchnorm: bool) -> None:
    """Make DDP look for the parameters that a step leaves without a gradient, as of branches that are not its turn.

    It waits for gradients of all parameters otherwise, and fails in the second step.

    Args:
        trainer: Of the run.
        task: What it trains.
        sync_batchnorm: Whether it was told to normalise over the batches of all processes.

    Raises:
        UserError: It was told not to look.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy) and task.idle_branches:
        looks = strategy._ddp_kwargs.setdefault("find_unused_parameters", True)
        if not looks:
            raise UserError(
                "trainer.strategy says find_unused_parameters false, and the branches of this network are idle in turn:"
                " give --trainer.strategy ddp, or leave it out"
            )
    if trainer.world_size > 1 and not sync_batchnorm and any(isinstance(m, _BatchNorm) for m in task.modules()):
        log.warning(
            "the network normalises by its batch: each of %d processes by its own one. On GPUs give"
            " --trainer.sync_batchnorm true",
            trainer.world_size,
        )
