"""Runs whose weights are averaged over steps, by a callback of Lightning's."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from restore_lightning.checkpoint_files import AVERAGED, CURRENT


def kind_of_weights(trainer: Trainer) -> str:
    """Which weights this run's checkpoints hold: `AVERAGED` or `CURRENT`."""
    return AVERAGED if _callbacks(trainer) else CURRENT


def keep_averages(trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Put averages in the place of current weights where Lightning forgets to: where only weights are saved."""
    if "averaging_state" not in checkpoint:
        for callback in _callbacks(trainer):
            callback.on_save_checkpoint(trainer, module, checkpoint)


def _callbacks(trainer: Trainer) -> list[WeightAveraging]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
