"""The loggers of a run: `metrics.csv`, which survives a resume, and W&B, offline where there is no key."""

import csv
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from restore_lightning.errors import shortened_error
from restore_lightning.io.files import append_text, write_text
from restore_lightning.runs.distributed import is_rank_zero
from restore_lightning.runs.exits import done_within
from restore_lightning.runs.folder import METRICS
from restore_lightning.runs.signals import received_signal

log = logging.getLogger(__name__)


class MetricsCSV(Logger):
    """`<run>/metrics.csv`: a row for each call, columns in alphabetical order; a new column rewrites the file.

    Args:
        run: The run's folder.
    """

    name = version = ""  # Lightning's own callbacks save in <save_dir>/<name>/<version>/checkpoints

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.path = Path(run, METRICS)

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Tensor | float], step: int | None = None) -> None:
        """Write one row."""
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        row["step"] = step or 0
        columns = self._columns()
        if not row.keys() <= set(columns):
            columns = sorted({*columns, *row})
            self._rewrite(columns, lambda _: True)
        text = io.StringIO()
        csv.DictWriter(text, columns).writerow(row)
        append_text(self.path, text.getvalue())

    @rank_zero_only
    def log_hyperparams(self, params: Any = None) -> None:
        """Nothing: `config.yaml` holds them all."""

    @rank_zero_only
    def keep_before(self, step: int) -> None:
        """Drop rows from `step` on, which the resumed run writes again."""
        self._rewrite(self._columns(), lambda row: int(row["step"]) < step)

    @rank_zero_only
    def drop_validation(self, step: int) -> None:
        """Drop the scores of a validation that is done again."""
        scores = [name for name in self._columns() if name.startswith("val/")]
        self._rewrite(self._columns(), lambda row: int(row["step"]) != step or not any(row[name] for name in scores))

    def _columns(self) -> list[str]:
        """Those of the file; none where there is none."""
        if not self.path.is_file():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])

    def _rewrite(self, columns: Sequence[str], wanted: Callable[[dict[str, str]], bool]) -> None:
        """Write these columns of the rows that are wanted."""
        if not columns:
            return
        text = io.StringIO()
        table = csv.DictWriter(text, columns)
        table.writeheader()
        if self.path.is_file():
            with self.path.open(encoding="utf-8", newline="") as file:
                table.writerows(row for row in csv.DictReader(file) if wanted(row))
        write_text(self.path, text.getvalue())


class RunWandb(WandbLogger):
    """W&B, which never stops a run: `metrics.csv` and `scores.json` have all numbers too.

    Where it cannot start online it writes to the run's folder, and after any other error it is left alone. So it is
    after SIGTERM: a cluster sends it to all processes of a job, W&B's too, and writing fails then.

    Args:
        **arguments: Of `WandbLogger`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.arguments = arguments
        self.failed = False
        self.waiting = False
        """Whether the run may yet be refused: nothing is logged or written before it is not."""

    @property
    def _silent(self) -> bool:
        return self.failed or self.waiting or received_signal() == signal.SIGTERM

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, or what takes everything and does nothing."""
        if self._silent:
            return DummyLogger().experiment
        try:
            return super().experiment
        except Exception as error:
            if self.arguments.get("mode") == "offline":
                self._give_up(error)
            else:
                _say_offline(self.save_dir, error)
                self.arguments["mode"] = "offline"
                super().__init__(**self.arguments)
        return self.experiment

    def log_metrics(self, *arguments: Any, **named: Any) -> None:
        """Log numbers."""
        with self._optional():
            super().log_metrics(*arguments, **named)

    def log_hyperparams(self, *arguments: Any, **named: Any) -> None:
        """Log what the run was told."""
        if self._silent:  # what does nothing has no `config` to update
            return
        with self._optional():
            super().log_hyperparams(*arguments, **named)

    def log_table(self, *arguments: Any, **named: Any) -> None:
        """Log a table."""
        with self._optional():
            super().log_table(*arguments, **named)

    def log_image(self, *arguments: Any, **named: Any) -> None:
        """Log images."""
        with self._optional():
            super().log_image(*arguments, **named)

    @contextmanager
    def _optional(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not self.failed:
            log.warning("W&B failed, the run goes on without it: %s", shortened_error(error, 200))
        self.failed = True


def _say_offline(folder: Any, error: Exception) -> None:
    log.warning(
        "W&B cannot be reached (%s): it writes to %s, `wandb sync` sends that later; WANDB_MODE=offline asks for this",
        shortened_error(error, 200),
        Path(folder, "wandb"),
    )


PATIENCE = {"offline": 60.0, "online": 600.0}
"""Seconds for W&B to end: it may hang, or have pictures to send."""


def finish_wandb() -> None:
    """End this process's W&B run, if it has one, and W&B's service; what takes too long is left behind."""
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return

    def finish() -> None:
        try:
            wandb.finish()
        finally:
            wandb.teardown()  # else at exit, where nothing limits it

    try:
        if not done_within(PATIENCE["offline" if wandb.run.offline else "online"], finish):
            log.warning("W&B does not end: what was logged is kept in the run's folder, `wandb sync` sends it")
    except OSError:
        log.info("W&B's service got the signal too: what was logged until then is kept")
    except Exception as error:
        log.warning("W&B failed at its end, what was logged until then is kept: %s", shortened_error(error, 200))


def run_loggers(run: Path, resumed: bool = False) -> list[Logger]:
    """CSV and W&B for a run's folder, which need not be there yet.

    Args:
        run: The folder.
        resumed: The run goes on: so does what W&B has of it.
    """
    return [MetricsCSV(run), wandb_logger(run, recorded_run(run) if resumed else None)]


def wandb_logger(run: Path, recorded: str | None = None) -> WandbLogger:
    """W&B for a run's folder; without an API key it writes there only. It waits for the run to begin.

    Args:
        run: The folder.
        recorded: Id of the W&B run to go on with; None: a new one. `WANDB_RUN_ID` comes first, and in a sweep the agent
            decides.
    """
    import wandb

    chosen = "WANDB_MODE" in os.environ
    if not chosen and is_rank_zero():  # the others have nothing to write
        try:
            chosen = bool(wandb.login(prompt=False))  # asks its server
        except Exception as error:
            _say_offline(run, error)
    # Not `offline=True`: it works by an environment variable, which wandb has read by now.
    settings: dict[str, Any] = {} if chosen else {"mode": "offline"}
    given = {"WANDB_RUN_ID", "WANDB_SWEEP_ID"} & os.environ.keys()
    logger = RunWandb(
        name=run.name, save_dir=run, project="restore-lightning", id=None if given else recorded, **settings
    )
    logger.waiting = True
    return logger


def recorded_run(run: Path) -> str | None:
    """Id of the latest W&B run in a run's folder; None: there is none.

    W&B calls its folders run-TIME-ID and offline-run-TIME-ID; a run that was resumed has several.
    """
    folders = (path.name.removeprefix("offline-").split("-", 2) for path in run.glob("wandb/*run-*-*"))
    return max(((time, name) for _, time, name in folders), default=(None, None))[1]
