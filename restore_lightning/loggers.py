"""The loggers of a run: `metrics.csv`, which survives a resume, and W&B, offline where there is no key."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter


class _Writer(ExperimentWriter):
    """Leaves an existing `metrics.csv` to `MetricsCSV.keep_before`."""

    def _check_log_dir_exists(self) -> None:
        pass


class MetricsCSV(CSVLogger):
    """`<run>/metrics.csv`.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path) -> None:
        super().__init__(run, name="", version="", flush_logs_every_n_steps=1)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer of the file."""
        if self._experiment is None:
            self._experiment = _Writer(log_dir=self.log_dir)
        return self._experiment

    def keep_before(self, step: int) -> None:
        """Go on with an existing file: rows from `step` on, which the resumed run writes again, are dropped."""
        path = Path(self.log_dir, _Writer.NAME_METRICS_FILE)
        if path.is_file():
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) < step]
            path.unlink()
            self.experiment.metrics = kept + self.experiment.metrics
            self.experiment.save()  # at once: a run killed before its next row keeps them

    def log_hyperparams(self, params: Any = None) -> None:
        """`config.yaml` holds them all."""


def run_loggers(run: Path) -> list[Logger]:
    """CSV and W&B for a run's folder; without an API key W&B writes there only."""
    import wandb

    run.mkdir(parents=True, exist_ok=True)
    chosen = "WANDB_MODE" in os.environ or wandb.login(prompt=False)
    # Not `offline=True`: it works by an environment variable, which wandb has read by now.
    settings: dict[str, Any] = {} if chosen else {"mode": "offline"}
    return [MetricsCSV(run), WandbLogger(name=run.name, save_dir=run, project="restore-lightning", **settings)]
