"""The run's folder is taken once the data are found; its config is written once everything has been accepted."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

from restore_lightning.io.files import write_text
from restore_lightning.runs.folder import CHECKPOINTS, lock_run_folder, remove_unfinished, unlock_run_folder
from restore_lightning.runs.loggers import RunWandb
from restore_lightning.runs.signals import STOPPED


class RunFolder(Callback):
    """Makes the run's folder once its data are found, and keeps others from writing to it; W&B begins with the fit."""

    def __init__(self) -> None:
        self._lock: FileLock | None = None
        self._made: list[Path] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lock the folder before a checkpoint is read from it, and remove what an earlier start left unfinished.

        What signal ended that start is forgotten, too: this one may fail before it trains.
        """
        if stage == "fit" and trainer.is_global_zero:
            run = Path(trainer.default_root_dir)
            self._made = [folder for folder in (run, *run.parents) if not folder.exists()]
            self._lock = lock_run_folder(run)
            remove_unfinished(run / CHECKPOINTS)
            (run / STOPPED).unlink(missing_ok=True)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let W&B begin."""
        for logger in trainer.loggers:
            if isinstance(logger, RunWandb):
                logger.waiting = False

    on_test_start = on_fit_start

    def release(self) -> None:
        """Let others write to the folder; nothing is left of one that the run, refused, wrote nothing to."""
        if self._lock is None:
            return
        unlock_run_folder(self._lock)
        with suppress(OSError):  # others hold something
            for folder in self._made:
                folder.rmdir()


class RunConfig(SaveConfigCallback):
    """Writes the complete config to `<run>/config.yaml` and to W&B once everything has been accepted."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing: the checkpoint that the run goes on from may yet be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the config: data, network and checkpoint have been accepted."""
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write `config.yaml`; of `fit` only, the other verbs read a run."""
        config = self.config.clone()
        config["ckpt_path"] = None  # run again, the config starts anew
        write_text(Path(trainer.default_root_dir, "config.yaml"), self.parser.dump(config, skip_unset=False))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(config.as_dict())
