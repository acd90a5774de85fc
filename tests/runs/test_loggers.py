"""`metrics.csv`: as Lightning's own logger writes it, and gone on with by a run that is resumed."""

import csv

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from restore_lightning.runs.folder import METRICS
from restore_lightning.runs.loggers import MetricsCSV

ROWS = [
    (1, {"lr": 1e-4, "cycle": 0.0, "train/rain/loss": -0.8161056637763977}),
    (3, {"train/rain/loss": torch.tensor(0.1), "lr": 1e-05, "train/blur/loss": float("nan"), "cycle": 0.0}),
    (3, {"val/psnr": torch.tensor(26.828725814819336), "val/ssim": 1, "epoch": 0}),
    (5, {"lr": 0.25, "cycle": 1.0, 'train/a, "b"/loss': float("inf")}),
    (7, {"lr": 0.25, "cycle": 1.0}),
]


def written(logger, rows) -> None:
    for step, row in rows:
        logger.log_metrics(row, step)


@pytest.fixture
def expected(tmp_path):
    """What Lightning's logger writes."""
    logger = CSVLogger(tmp_path / "lightning", name="", version="", flush_logs_every_n_steps=1)
    written(logger, ROWS)
    return (tmp_path / "lightning" / METRICS).read_bytes()


def test_as_lightnings_logger(expected, tmp_path):
    """Bit by bit: order of columns, numbers, ends of lines; new columns come in between."""
    written(MetricsCSV(tmp_path), ROWS)
    assert (tmp_path / METRICS).read_bytes() == expected


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_a_resumed_run_writes_the_rows_from_its_step_on_again(line_end, expected, tmp_path):
    """By a new process; resumed runs of earlier versions have lines of two kinds."""
    written(MetricsCSV(tmp_path), ROWS)
    (tmp_path / METRICS).write_bytes(expected.replace(b"\r\n", line_end.encode()))
    logger = MetricsCSV(tmp_path)
    logger.keep_before(4)
    written(logger, ROWS[3:])
    assert (tmp_path / METRICS).read_bytes() == expected


def test_a_validation_that_is_done_again_stands_there_once(expected, tmp_path):
    written(MetricsCSV(tmp_path), ROWS[:3])
    logger = MetricsCSV(tmp_path)
    logger.drop_validation(3)
    assert len(list(csv.DictReader((tmp_path / METRICS).open()))) == 2
    written(logger, ROWS[2:])
    assert (tmp_path / METRICS).read_bytes() == expected


def test_another_process_adds_to_the_file(expected, tmp_path):
    """With fewer columns than it has: they stay."""
    written(MetricsCSV(tmp_path), ROWS[:4])
    written(MetricsCSV(tmp_path), ROWS[4:])
    assert (tmp_path / METRICS).read_bytes() == expected


def test_a_run_without_rows_has_no_file(tmp_path):
    logger = MetricsCSV(tmp_path)
    logger.keep_before(3)
    logger.drop_validation(3)
    assert not list(tmp_path.iterdir())


def test_wandb_that_fails_stops_nothing(tmp_path, monkeypatch, caplog):
    """It is left alone from then on, with one warning."""
    from restore_lightning.runs.loggers import RunWandb, log

    def broken(**_):
        raise ConnectionError("no service")

    monkeypatch.setattr("wandb.init", broken)
    monkeypatch.setattr(log, "propagate", True)
    monkeypatch.setattr("restore_lightning.runs.loggers.log.parent.propagate", True)
    logger = RunWandb(save_dir=tmp_path, project="p")
    logger.log_metrics({"a": 1.0}, 1)
    logger.log_hyperparams({"a": {"b": 1}})
    logger.log_table("t", ["a"], [[1]])
    said = [record.getMessage() for record in caplog.records if record.name == log.name]
    assert len(said) == 2
    assert "W&B cannot be reached (ConnectionError: no service): it writes to" in said[0]
    assert "W&B failed, the run goes on without it: ConnectionError: no service" in said[1]


def test_wandb_that_is_not_to_write_fails_at_nothing(tmp_path):
    """As after SIGTERM, or while a run may yet be refused."""
    from restore_lightning.runs.loggers import RunWandb

    logger = RunWandb(save_dir=tmp_path, project="p")
    logger.waiting = True
    logger.log_hyperparams({"a": {"b": 1}})
    assert not logger.failed
    assert not list(tmp_path.iterdir())
