"""The progress bar: the last loss of each factor, the validation score, time left."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar


class FactorProgress(TQDMProgressBar):
    """Lightning's bar with short names: `rain=-0.95, blur=-2.71, ..., psnr=27.1`.

    In a file it is refreshed every 50 batches only.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else 50)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The numbers behind the bar, by their short names, without Lightning's number of the version."""
        shown = super().get_metrics(trainer, pl_module)
        return {
            name.removeprefix("train/").removesuffix("/loss").removeprefix("val/"): value
            for name, value in shown.items()
            if name != "v_num"
        }
