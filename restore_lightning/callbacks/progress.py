"""The progress bar: the last loss of each factor, the validation score, time left."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar


class FactorProgress(TQDMProgressBar):
    """Lightning's bar with short names: `rain=-0.95, blur=-2.71, ..., psnr=27.1`.

    Losses are those of the last logged rows: to read one waits for the device. In a file the bar is refreshed every 50
    batches only.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else 50)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The numbers behind the bar, by their short names, without Lightning's number of the version."""
        shown = super().get_metrics(trainer, pl_module)
        scores = {name.removeprefix("val/"): value for name, value in shown.items() if name != "v_num"}
        losses: dict[str, float] = getattr(pl_module, "logged_losses", {})  # a user's module has none
        return {factor: f"{loss:.3f}" for factor, loss in losses.items()} | scores
