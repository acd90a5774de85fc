"""Checkpoints of a run: `checkpoints/last.ckpt` and `checkpoints/best.ckpt`, written whole or not at all."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from restore_lightning.errors import UserError
from restore_lightning.files import written_beside


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames, so that a killed process never leaves half a checkpoint.

    Lightning's own way goes through the system's temporary folder, whose move to another file
    system is a copy that can be cut short.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save to a local path."""
        with written_beside(Path(path)) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read one of ours.

        Raises:
            UserError: It is none.
        """
        checkpoint = super().load_checkpoint(path, map_location or (lambda storage, _: storage), weights_only)
        if not isinstance(checkpoint, dict) or "pytorch-lightning_version" not in checkpoint:
            raise UserError(
                f"{path} was not written by restore fit: turn the authors' files into checkpoints by restore convert"
            )
        return checkpoint


class _RunCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint in `<trainer.default_root_dir>/checkpoints`."""

    kept: str
    """Name of its file, without suffix."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The run's folder is known from here on."""
        self.dirpath = os.path.join(trainer.default_root_dir, "checkpoints")  # noqa: PTH118  (Lightning compares strings)
        if stage == "fit" and trainer.is_global_zero:
            for path in Path(self.dirpath).glob(f".{self.kept}.*.ckpt"):  # of a process that was killed while it saved
                path.unlink(missing_ok=True)
        super().setup(trainer, pl_module, stage)


class LastCheckpoint(_RunCheckpoint):
    """Keeps `last.ckpt`: where `fit --ckpt_path last` goes on.

    Args:
        every_n_train_steps: Optimiser steps between two saves; the run's end is always saved.
    """

    kept = "last"

    def __init__(self, every_n_train_steps: int = 1000) -> None:
        super().__init__(
            save_last=True, save_top_k=0, every_n_train_steps=every_n_train_steps, enable_version_counter=False
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where a step ends; within it, what its first batches gave would be lost."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the run, which is one long epoch."""
        # Always: a save in the last step came before its validation. And not when training has ended: by then averaged
        # weights have taken the place of those that a resumed run goes on with.
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The end has been saved."""


class BestCheckpoint(_RunCheckpoint):
    """Keeps `best.ckpt`: the highest mean PSNR over factors at validation."""

    kept = "best"

    def __init__(self) -> None:
        super().__init__(
            filename="best", monitor="val/psnr", mode="max", save_on_train_epoch_end=False, enable_version_counter=False
        )
