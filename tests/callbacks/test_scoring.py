"""Scores in any precision, and without the command."""

import csv
import json

import pytest
import yaml
from lightning.pytorch import Trainer

from restore_lightning.callbacks import Scoring
from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.networks import DRN
from restore_lightning.tasks import SingleFactorTask
from tests.conftest import CONF


def test_baselines_are_restored_in_the_runs_precision(restore, step_1, tmp_path):
    """A baseline of the same weights has the same scores to the last bit, in bfloat16 too, and these differ."""
    baselines = yaml.safe_dump({"same": {"checkpoint": str(step_1)}})
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        words = ("--config", CONF / "tiny.yaml", "--ckpt_path", step_1, "--trainer.precision", precision)
        words = (*words, "--trainer.default_root_dir", tmp_path / precision, "--model.baselines", baselines)
        code, _, err = restore("test", *words)
        assert code == 0, err
        found[precision] = json.loads((tmp_path / precision / "scores.json").read_text())["sets"]
        for entry in found[precision].values():
            assert entry["same"] == entry["restored"]
    assert found["32-true"] != found["bf16-mixed"]


def test_scores_without_the_command(tmp_path):
    """In a Trainer of one's own: what is logged is what the sets' scores say."""
    data = RestorationData({"rain": FactorConfig()}, batch_size=2, crop_size=16, val_crop_size=32)
    scoring = Scoring()
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[scoring],
        check_val_every_n_epoch=None,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        limit_val_batches=2,
        logger=False,
        max_steps=2,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        val_check_interval=2,
    )
    trainer.fit(SingleFactorTask(DRN(T=2, R=1, width=2)), datamodule=data)
    (scores,) = scoring.scores.values()
    means = scores.compute()["restored"]
    assert scores.images == 2
    for score in ("psnr", "ssim"):
        for name in (f"val/rain/{score}", f"val/{score}"):
            assert float(trainer.callback_metrics[name]) == pytest.approx(means[score])


def test_validations_of_a_run_begin_anew(restore, tmp_path):
    """Each row of metrics.csv is of its own validation's images."""
    words = ("--config", CONF / "single.yaml", "--trainer.default_root_dir", tmp_path, "--trainer.logger", "true")
    code, _, err = restore("fit", *words)
    assert code == 0, err
    rows = [row for row in csv.DictReader((tmp_path / "metrics.csv").open()) if row["val/psnr"]]
    assert [row["val/psnr"] == row["val/rain/psnr"] for row in rows] == [True, True]
    code, out, err = restore("validate", "--config", tmp_path / "config.yaml", "--ckpt_path", "last")
    assert code == 0, err
    assert f"{float(rows[-1]['val/psnr']):.2f}" in out
