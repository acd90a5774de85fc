"""What a run does with files that are there when it starts."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from restore_lightning.runs.loggers import MetricsCSV


class RemoveEarlierRun(Callback):
    """Removes an earlier run's files once the new one is known to start; `metrics.csv` goes on at its step.

    Args:
        earlier: Files to remove.
    """

    def __init__(self, earlier: Sequence[Path] = ()) -> None:
        self.earlier = list(earlier)

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove and drop: data, network and checkpoint have been accepted."""
        for path in self.earlier:
            path.unlink(missing_ok=True)
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCSV):
                logger.keep_before(trainer.global_step)
