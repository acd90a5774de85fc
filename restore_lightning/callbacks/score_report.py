"""The end of `restore test` and `restore predict`: the table, `scores.json`, restored images."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from restore_lightning.callbacks.scoring import Scoring
from restore_lightning.io.files import json_text, write_text
from restore_lightning.io.images import to_uint8, write_image
from restore_lightning.metrics.scores import SCORES
from restore_lightning.networks import parameters
from restore_lightning.reports import score_tables


class ScoreReport(Callback):
    """After `validate` and `test`: prints the tables; after `test` writes `<run>/scores.json` and `scores.csv`.

    Args:
        scoring: Whose scores.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The verb, not the validation during training."""
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.VALIDATING:
            report = results(trainer, pl_module, self.scoring)
            print("", score_tables(report), sep="\n", flush=True)  # below the progress bar

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All sets are scored."""
        if trainer.is_global_zero:
            report = results(trainer, pl_module, self.scoring)
            path = Path(trainer.default_root_dir, "scores.json")
            write_text(path, json_text(report))
            order = [f"order of the passes: {', '.join(report['order'])}"] if report["order"] else []
            print("", score_tables(report), *order, f"scores: {path}", sep="\n", flush=True)
            task: Any = pl_module
            _write_images(trainer, self.scoring)
            _log(trainer, report, task.steps_trained)


def _write_images(trainer: Trainer, scoring: Scoring) -> None:
    """Each image's scores as `scores.csv`."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["set", "image", "version", *SCORES])
    for dataset in data.test_sets:
        if scoring.scores[dataset.name].images:
            for number, versions in scoring.scores[dataset.name].per_image().items():
                for version, scores in versions.items():
                    table.writerow([dataset.name, dataset.images[number].name, version, *map(scores.get, SCORES)])
    write_text(Path(trainer.default_root_dir, "scores.csv"), text.getvalue())


def _log(trainer: Trainer, report: dict[str, Any], step: int) -> None:
    """The scores to the run's loggers, at the step that the network was trained to; to W&B as a table too."""
    scores = {
        f"test/{name}/{score}": entry["restored"][score] for name, entry in report["sets"].items() for score in SCORES
    }
    rows = [
        [name, entry["factor"], entry["protocol"], entry["images"], title, *(entry[version][s] for s in SCORES)]
        for name, entry in report["sets"].items()
        for version, title in {"degraded": "degraded", **report["methods"]}.items()
    ]
    for logger in trainer.loggers:
        logger.log_metrics(scores, step)
        if isinstance(logger, WandbLogger):
            columns = ["set", "factor", "protocol", "images", "method", "PSNR (dB)", "SSIM"]
            logger.log_table("test/scores", columns, rows, step=step)


def results(trainer: Trainer, task: Any, scoring: Scoring) -> dict[str, Any]:
    """What `scores.json` holds."""
    scored = {name: entry for name, entry in scoring.scores.items() if entry.images}
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    where = {dataset.name: dataset.data for dataset in (*data.val_sets, *data.test_sets)}
    sets = {
        name: {"factor": entry.factor, "protocol": entry.protocol.name, "data": where[name], **entry.compute()}
        for name, entry in scored.items()
    }
    versions = next(iter(scored.values())).versions if scored else ()
    compared = scoring.compared
    titles = {"restored": task.title, **{name: one.title for name, one in compared.items()}}
    methods = {version: titles[version] for version in versions if version != "degraded"}
    checkpoint = str(trainer.ckpt_path) if trainer.ckpt_path else None
    origins = {"restored": checkpoint, **{name: one.origin for name, one in compared.items()}}
    ways = {"restored": task.inference, **{name: one.restorer.settings for name, one in compared.items()}}
    return {
        "checkpoint": checkpoint,
        "checkpoints": {version: origins[version] for version in methods},
        "weights": task.weights,
        "step": task.steps_trained,
        "network": task.network_spec,
        "parameters": parameters(task.network),
        "inference": asdict(task.inference),
        "inferences": {version: asdict(ways[version]) for version in methods},
        "order": task.order,
        "methods": methods,
        "sets": sets,
    }


class PredictionWriter(Callback):
    """After each image of `predict`: writes it to `<run>/predictions/<set>/<name>.png`."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one restored image."""
        restored: Tensor = outputs
        write_image(
            to_uint8(restored[0]).cpu(),
            Path(trainer.default_root_dir, "predictions", batch["set"], f"{batch['name']}.png"),
        )

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where they are."""
        if trainer.is_global_zero:
            print(f"restored images: {Path(trainer.default_root_dir, 'predictions')}", flush=True)
