"""Checkpoints of a run: `checkpoints/last.ckpt` and `checkpoints/best.ckpt`, written whole or not at all."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from restore_lightning.errors import UserError
from restore_lightning.io.files import written_beside
from restore_lightning.runs.distributed import signal_on_any_rank
from restore_lightning.runs.loggers import MetricsCSV
from restore_lightning.runs.signals import stop_run


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

    It is saved every so many steps, before each validation, when a signal stops the run, and at the run's end; always
    where a step ends, which is where the resumed run goes on: with the validation, if one is due after that step.

    Args:
        every_n_train_steps: Optimiser steps between two saves.
    """

    kept = "last"
    validation_due: bool = False
    """Whether the last step's validation is still to come."""

    def __init__(self, every_n_train_steps: int = 1000) -> None:
        super().__init__(
            save_last=True, save_top_k=0, every_n_train_steps=every_n_train_steps, enable_version_counter=False
        )
        self._max_steps: int | None = None

    @property
    def state_key(self) -> str:
        """One name whatever the arguments: a run that goes on may save more often."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """With what is due."""
        return super().state_dict() | {"validation_due": self.validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Earlier versions did not say what is due."""
        super().load_state_dict(state_dict)
        self.validation_due = state_dict.get("validation_due", False)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lightning takes a run for finished at its last step, before a validation that is due."""
        state = checkpoint["callbacks"].get(self.state_key, {})
        if state.get("validation_due") and checkpoint["global_step"] == trainer.max_steps:
            self._max_steps = trainer.max_steps
            trainer.fit_loop.epoch_loop.max_steps += 1
            checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate where the run that goes on was to do it next."""
        super().on_train_start(trainer, pl_module)
        if Path(str(self.dirpath), "last.ckpt").is_file():
            self._last_global_step_saved = trainer.global_step
        loop = trainer.fit_loop.epoch_loop
        if self._max_steps is not None:
            loop.max_steps, self._max_steps = self._max_steps, None
        if self.validation_due:
            for logger in trainer.loggers:
                if isinstance(logger, MetricsCSV):
                    logger.drop_validation(trainer.global_step - 1)  # it may have been done, and not saved
            trainer.validating = True
            loop.val_loop.restarting = False  # else it goes on behind the last one's images
            loop.val_loop.run()
            trainer.training = True
            self._save(trainer)  # at the last step nothing else does

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where a step ends; within it, what its first batches gave would be lost."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        every = trainer.val_check_batch  # None: by time
        self.validation_due = trainer.enable_validation and every is not None and (batch_idx + 1) % every == 0
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        signal = signal_on_any_rank(trainer)
        if (signal or self.validation_due) and self._last_global_step_saved != trainer.global_step:
            self._save(trainer)
        if signal:
            pl_module.on_train_batch_end(outputs, batch, batch_idx)  # comes after callbacks; writes the step's losses
            stop_run(trainer, signal)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop within a validation too, it can take longer than a signal leaves time; it was saved before."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        saved = self._last_global_step_saved == trainer.global_step  # not before a validation by time
        if saved and batch_idx < _images_of_all(trainer, dataloader_idx):
            signal = signal_on_any_rank(trainer)
            if signal:
                stop_run(trainer, signal)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """It is done."""
        self.validation_due = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the run, which is one long epoch."""
        # Always: a save in the last step came before its validation. And not when training has ended: by then averaged
        # weights have taken the place of those that a resumed run goes on with.
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The end has been saved."""


def _images_of_all(trainer: Trainer, loader: int) -> int:
    """How many images of a validation set every process has: some have one more than others, or a part of it more."""
    loaders: Any = trainer.val_dataloaders
    least = len(loaders[loader].dataset) // trainer.world_size
    limit = trainer.limit_val_batches
    return int(least * limit) if isinstance(limit, float) else min(least, limit)


class BestCheckpoint(_RunCheckpoint):
    """Keeps `best.ckpt`: the highest mean PSNR over factors at validation."""

    kept = "best"

    def __init__(self) -> None:
        super().__init__(
            filename="best", monitor="val/psnr", mode="max", save_on_train_epoch_end=False, enable_version_counter=False
        )
