"""A callback that ends its process as a power cut would."""

import os
import signal
from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback

Moment = Literal["step", "validation", "after validation", "save"]


class KillAt(Callback):
    """SIGKILL at a moment.

    Args:
        step: Optimiser steps that are done.
        moment: Before the next batch, within the first validation from then on, behind it, or while a checkpoint is
            saved: it is written, and not renamed yet.
    """

    def __init__(self, step: int, moment: Moment) -> None:
        self.step = step
        self.moment = moment

    def on_fit_start(self, trainer, pl_module):
        replace = Path.replace

        def watched(path, target):
            if Path(target).suffix == ".ckpt":
                self.reached("save", trainer)
            return replace(path, target)

        Path.replace = watched

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.reached("step", trainer)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if dataloader_idx == 1:
            self.reached("validation", trainer)

    def on_validation_end(self, trainer, pl_module):
        self.reached("after validation", trainer)

    def reached(self, moment, trainer):
        if moment == self.moment and trainer.global_step >= self.step:
            os.kill(os.getpid(), signal.SIGKILL)
