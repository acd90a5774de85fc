"""Several processes train one network."""

import os

from lightning.pytorch.strategies import DDPStrategy, Strategy

from restore_lightning.errors import UserError

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables by which Lightning, torchrun and Slurm number processes and machines."""


def first_process() -> bool:
    """Whether this is the process that writes the run's files, before there is a Trainer to ask."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def look_for_idle(strategy: Strategy) -> None:
    """Let DDP look for the parameters that a step leaves without a gradient, as branches do that are not its turn.

    DDP waits for gradients of all parameters otherwise, and fails in the second step.

    Raises:
        UserError: It was told not to.
    """
    if isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.setdefault("find_unused_parameters", True):
        raise UserError(
            "trainer.strategy says find_unused_parameters false, and the branches of this network are idle in turn:"
            " give --trainer.strategy ddp, or leave it out"
        )
