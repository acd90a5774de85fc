"""Checkpoints of a run: `checkpoints/last.ckpt` and `checkpoints/best.ckpt`, written whole or not at all."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning import __version__ as lightning_version
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from restore_lightning.checkpoint_files import damage
from restore_lightning.checkpoints import read_checkpoint
from restore_lightning.errors import UserError, shortened_text
from restore_lightning.io.files import written_beside
from restore_lightning.runs.distributed import signal_on_any_rank, smallest_on_any_rank
from restore_lightning.runs.folder import CHECKPOINTS, saved_checkpoints
from restore_lightning.runs.loggers import MetricsCSV
from restore_lightning.runs.signals import receive_interrupts, stop_run


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames, so that a killed process never leaves half a checkpoint.

    Lightning's own way goes through the system's temporary folder, whose move to another file
    system is a copy that can be cut short.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save to a local path.

        Raises:
            UserError: It cannot be written; what was there before still is.
        """
        try:
            with written_beside(Path(path)) as beside, beside.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            # torch's own error, of a file that it could not write on, hides the system's.
            causes = [one for one in (error, error.__context__) if isinstance(one, OSError)]
            why = causes[-1].strerror if causes else shortened_text(str(error), 100)
            kept = "; the one before is whole" if Path(path).is_file() else ""
            raise UserError(
                f"{path} cannot be written: {why}{kept}. Make room or give another --trainer.default_root_dir,"
                " and go on with --ckpt_path last",
                exit_code=1,
            ) from error

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read one of ours, or a bundle; only tensors and plain values, whatever torch or the call were told.

        Raises:
            UserError: It is none, or damaged; then one beside it that is whole is named. Or more is to be read.
        """
        if weights_only is False:
            raise UserError("--weights_only false would run whatever a checkpoint holds: leave it out")
        if not Path(path).is_file():  # what Lightning asks of a checkpoint without a state of training
            return {"pytorch-lightning_version": lightning_version, "epoch": 0, **read_checkpoint(path)}
        try:
            checkpoint = super().load_checkpoint(path, map_location or (lambda storage, _: storage), weights_only=True)
        except Exception as error:
            whole = _newest_whole(Path(path))
            others = f"; go on with --ckpt_path {whole[1]}, which is of step {whole[0]}" if whole else ""
            raise UserError(f"checkpoint {path} {damage(Path(path))}{others}", exit_code=1) from error
        if not isinstance(checkpoint, dict) or "pytorch-lightning_version" not in checkpoint:
            raise UserError(
                f"{path} was not written by restore fit: turn the authors' files into checkpoints by restore convert"
            )
        return checkpoint


def _newest_whole(damaged: Path) -> tuple[int, Path] | None:
    """Step and path of the checkpoint that is to be used in place of a damaged one."""
    found = []
    for path in saved_checkpoints(damaged.parent):
        with suppress(UserError):
            checkpoint = read_checkpoint(path)
            if isinstance(checkpoint, dict) and checkpoint.get("optimizer_states"):
                found.append((int(checkpoint["global_step"]), path))
    return max(found, default=None)


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt`: where `fit --ckpt_path last` goes on.

    It is saved every so many steps, before each validation, when a signal stops the run, and at the run's end; always
    where a step ends, which is where the resumed run goes on: with the validation, if one is due after that step.

    Args:
        every_n_train_steps: Optimiser steps between two saves; 0: none in between.
    """

    def __init__(self, every_n_train_steps: int = 1000) -> None:
        if every_n_train_steps < 0:
            raise UserError(f"checkpoint.every_n_train_steps {every_n_train_steps}: give at least 0")
        self.every_n_train_steps = every_n_train_steps
        self.validation_due = False
        """Whether the last step's validation is still to come."""
        self._saved_step: int | None = None
        self._images: list[int] = []
        self._max_steps: int | None = None

    @property
    def state_key(self) -> str:
        """One name whatever the arguments: a run that goes on may save more often."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """Whether a validation is due."""
        return {"validation_due": self.validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what is due; earlier versions did not say it."""
        self.validation_due = state_dict.get("validation_due", False)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let a run begin that has done its last step, where a validation is due: Lightning takes it for finished.

        What was kept as the best ones is looked for where this run keeps them.
        """
        for callback in trainer.checkpoint_callbacks:
            kept = checkpoint["callbacks"].get(callback.state_key)
            if isinstance(callback, ModelCheckpoint) and kept and callback.dirpath:
                # The first process looks: another machine may not see the files, and all are to know the same scores.
                found = trainer.strategy.broadcast(moved(kept, str(callback.dirpath)))
                checkpoint["callbacks"][callback.state_key] = found
        state = checkpoint["callbacks"].get(self.state_key, {})
        if state.get("validation_due") and checkpoint["global_step"] == trainer.max_steps:
            self._max_steps = trainer.max_steps
            trainer.fit_loop.epoch_loop.max_steps += 1
            checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate where the run that goes on was to do it next; from here on Ctrl-C stops where a step ends."""
        receive_interrupts(aloud=trainer.is_global_zero)
        self._saved_step = trainer.global_step if trainer.strategy.broadcast(_last(trainer).is_file()) else None
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
        save_due = self.every_n_train_steps and trainer.global_step % self.every_n_train_steps == 0
        if (save_due or self.validation_due) and self._saved_step != trainer.global_step:
            self._save(trainer)
        signal = signal_on_any_rank()
        if signal:
            if self._saved_step != trainer.global_step:
                self._save(trainer)
            pl_module.on_train_batch_end(outputs, batch, batch_idx)  # comes after callbacks; writes the step's losses
            stop_run(trainer, signal)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Agree on the images of each set that all processes have: after these they ask for signals."""
        self._images = smallest_on_any_rank([int(images) for images in trainer.num_val_batches])

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
        # Not before a validation by time, which nothing is saved ahead of.
        if trainer.state.fn == TrainerFn.FITTING and self._saved_step == trainer.global_step:
            signal = signal_on_any_rank() if batch_idx < self._images[dataloader_idx] else 0
            if signal:
                stop_run(trainer, signal)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget that it was due."""
        self.validation_due = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the run, which is one long epoch."""
        # Always: a save in the last step came before its validation. And not when training has ended: by then averaged
        # weights have taken the place of those that a resumed run goes on with.
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(_last(trainer), weights_only=False)
        self._saved_step = trainer.global_step


def _last(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir, CHECKPOINTS, "last.ckpt")


def moved(kept: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """What a `ModelCheckpoint` remembers of its files, with those that are now in another folder, or another spelling.

    Lightning forgets all scores unless folders are the same text. Files that are not there are forgotten here too:
    their run was not moved, this one began from its checkpoint, or somebody has removed them.

    Args:
        kept: State of the callback.
        folder: Where it keeps its files in this run.
    """
    before = kept.get("dirpath") or folder

    def here(path: str) -> str:
        return os.path.join(folder, os.path.relpath(path, before)) if path else path  # noqa: PTH118  (as text)

    scores = {here(path): score for path, score in (kept.get("best_k_models") or {}).items()}
    scores = {path: score for path, score in scores.items() if Path(path).is_file()}
    found = {name: here(kept.get(name) or "") for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
    found = {name: path if Path(path).is_file() else "" for name, path in found.items()}
    # The worst that is kept is found anew once there are as many as are to be kept.
    worst = {} if found["kth_best_model_path"] in scores else {"kth_best_model_path": ""}
    return {**kept, **found, **worst, "dirpath": folder, "best_k_models": scores}


class BestCheckpoint(ModelCheckpoint):
    """Keeps `best.ckpt`: the highest mean PSNR over factors at validation."""

    def __init__(self) -> None:
        super().__init__(
            filename="best", monitor="val/psnr", mode="max", save_on_train_epoch_end=False, enable_version_counter=False
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the run's folder, which is known from here on."""
        # As text: Lightning compares it with that in the checkpoint that the run goes on from.
        self.dirpath = os.path.join(trainer.default_root_dir, CHECKPOINTS)  # noqa: PTH118
        super().setup(trainer, pl_module, stage)
