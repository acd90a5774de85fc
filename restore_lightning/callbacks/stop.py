"""How all processes of a run stop together when one of them has got a signal."""

import logging
import signal
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from restore_lightning.files import write_text
from restore_lightning.stopping import Stopped, noted

log = logging.getLogger(__name__)

STOPPED = ".stopped"
"""The file in a run's folder that names the signal which ended it."""


def agreed_signal(trainer: Trainer) -> int:
    """The signal that any process of the run has got; 0: none.

    All processes must ask at the same place.
    """
    if trainer.world_size == 1:
        return noted()
    mine = torch.tensor(noted(), device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(mine, reduce_op="max"))


def stop(trainer: Trainer, number: int) -> None:
    """End training; `<run>/.stopped` names the signal, for scripts that start the run again.

    Raises:
        Stopped: Always, with an exit code that names the signal.
    """
    if trainer.is_global_zero:
        name = signal.Signals(number).name
        write_text(Path(trainer.default_root_dir, STOPPED), f"{name}\n")
        log.info(
            "stopped by %s after step %d of %d: go on with --ckpt_path last",
            name,
            trainer.global_step,
            trainer.max_steps,
        )
    raise Stopped(number, trainer.is_global_zero)
