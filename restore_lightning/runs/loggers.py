"""The loggers of a run: `metrics.csv`, which survives a resume, and W&B, offline where there is no key."""

import csv
import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import rank_zero_only

from restore_lightning.io.files import write_text
from restore_lightning.runs.signals import received_signal

log = logging.getLogger(__name__)

METRICS = ExperimentWriter.NAME_METRICS_FILE
"""What a run's folder calls the logged numbers."""


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
        self._keep(lambda row: int(row["step"]) < step)

    def drop_validation(self, step: int) -> None:
        """Without the scores of a validation that is done again."""
        self._keep(
            lambda row: int(row["step"]) != step or not any(row[name] for name in row if name.startswith("val/"))
        )

    @rank_zero_only
    def _keep(self, wanted: Callable[[dict[str, str]], bool]) -> None:
        path = Path(self.log_dir, METRICS)
        if path.is_file():
            text = io.StringIO()
            with path.open(newline="") as file:
                rows = csv.DictReader(file)
                names = sorted({*(rows.fieldnames or ()), *self.experiment.metrics_keys})
                table = csv.DictWriter(text, names, restval="", lineterminator="\n")
                table.writeheader()
                table.writerows(row for row in rows if wanted(row))
            write_text(path, text.getvalue())
            self.experiment.metrics_keys = names  # the writer's next rows have these columns

    def log_hyperparams(self, params: Any = None) -> None:
        """`config.yaml` holds them all."""


class RunWandb(WandbLogger):
    """W&B, left alone after SIGTERM: a cluster sends it to all processes of a job, W&B's too, and writing fails then.

    `metrics.csv` has what is logged until the step ends.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run."""
        return DummyLogger().experiment if received_signal() == signal.SIGTERM else super().experiment


def finish_wandb() -> None:
    """End this process's W&B run, if it has one."""
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    try:
        wandb.finish()
    except OSError:
        log.info("W&B's service got the signal too: what was logged until then is kept")
        with suppress(OSError):
            wandb.teardown()  # else it tries again at exit


def run_loggers(run: Path, resumed: bool = False) -> list[Logger]:
    """CSV and W&B for a run's folder.

    Args:
        run: The folder.
        resumed: The run goes on: so does what W&B has of it.
    """
    run.mkdir(parents=True, exist_ok=True)
    return [MetricsCSV(run), wandb_logger(run, recorded_run(run) if resumed else None)]


def wandb_logger(run: Path, recorded: str | None = None) -> WandbLogger:
    """W&B for a run's folder; without an API key it writes there only.

    Args:
        run: The folder.
        recorded: Id of the W&B run to go on with; None: a new one. `WANDB_RUN_ID` comes first, and in a sweep the agent
            decides.
    """
    import wandb

    chosen = "WANDB_MODE" in os.environ or wandb.login(prompt=False)
    # Not `offline=True`: it works by an environment variable, which wandb has read by now.
    settings: dict[str, Any] = {} if chosen else {"mode": "offline"}
    given = {"WANDB_RUN_ID", "WANDB_SWEEP_ID"} & os.environ.keys()
    return RunWandb(
        name=run.name, save_dir=run, project="restore-lightning", id=None if given else recorded, **settings
    )


def recorded_run(run: Path) -> str | None:
    """Id of the latest W&B run in a run's folder; None: there is none.

    W&B calls its folders run-TIME-ID and offline-run-TIME-ID; a run that was resumed has several.
    """
    folders = (path.name.removeprefix("offline-").split("-", 2) for path in run.glob("wandb/*run-*-*"))
    return max(((time, name) for _, time, name in folders), default=(None, None))[1]
