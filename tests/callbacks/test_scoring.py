"""Scores in any precision, and without the command."""

import csv
import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from restore_lightning.callbacks import Scoring
from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.inference import Compared, Restorer
from restore_lightning.networks import DRN
from restore_lightning.tasks import ImageToImageTask
from tests.conftest import CONF


def test_baselines_are_restored_in_the_runs_precision(restore, step_1, small_tests, tmp_path):
    """A baseline of the same weights has the same scores to the last bit, in bfloat16 too, and these differ."""
    baselines = yaml.safe_dump({"same": {"checkpoint": str(step_1)}})
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        words = ("--config", CONF / "tiny.yaml", "--ckpt_path", step_1, "--trainer.precision", precision)
        words = (*words, "--trainer.default_root_dir", tmp_path / precision, "--model.baselines", baselines)
        code, _, err = restore("test", *words, *small_tests)
        assert code == 0, err
        found[precision] = json.loads((tmp_path / precision / "scores.json").read_text())["sets"]
        for entry in found[precision].values():
            assert entry["same"] == entry["restored"]
    assert found["32-true"] != found["bf16-mixed"]


class Comparing(ImageToImageTask):
    """Compares with its own weights, in networks that declare half precision and that do not."""

    def compared(self):
        def baseline(half_precision):
            network = deepcopy(self.network).float()
            network.info = replace(network.info, half_precision=half_precision)
            return Compared(Restorer({"rain": network}), "", "")

        return {"declares it": baseline(True), "does not": baseline(False)}


class InModulesType(RestorationData):
    """Images of the type that the network has."""

    def on_after_batch_transfer(self, batch, dataloader_idx):
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        return batch | {key: batch[key].to(self.trainer.lightning_module.dtype) for key in ("degraded", "clean")}


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_half_precision_is_for_networks_that_declare_it(precision, tmp_path):
    found = {}
    for given in ("32-true", precision):
        torch.manual_seed(0)
        scoring = Scoring()
        trainer = Trainer(
            accelerator="cpu",
            callbacks=[scoring],
            default_root_dir=tmp_path,
            enable_checkpointing=False,
            enable_progress_bar=False,
            limit_test_batches=1,
            logger=False,
            precision=given,
        )
        trainer.test(Comparing(DRN(T=2, R=1, width=4)), InModulesType({"rain": FactorConfig()}), verbose=False)
        (scores,) = scoring.scores.values()
        found[given] = scores.compute()
    half, full = found[precision], found["32-true"]
    assert half["declares it"] == half["restored"]
    assert (half["declares it"] == full["restored"]) == (precision == "64-true")  # equal in 8 bits
    within = 0.2 if precision == "bf16-true" else 1e-9  # there the images are bfloat16, too
    assert half["does not"]["psnr"] == pytest.approx(full["restored"]["psnr"], abs=within)


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
    trainer.fit(ImageToImageTask(DRN(T=2, R=1, width=2)), datamodule=data)
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
