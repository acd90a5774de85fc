"""The end of `restore validate` and `restore test`: the tables, `scores.json`, `scores.csv`."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn

from restore_lightning.callbacks.scoring import Scoring, logged_place
from restore_lightning.data.evaluation_set import EvaluationSet
from restore_lightning.io.files import write_text
from restore_lightning.metrics import MeanScores
from restore_lightning.metrics.scores import SCORES, SetScores
from restore_lightning.networks import parameters
from restore_lightning.reports.scores_json import RESTORED, Method, RunScores, SetResult, write_scores
from restore_lightning.reports.text_tables import score_tables


class ScoreReport(Callback):
    """After `validate` and `test`: prints the tables; after `test` writes `<run>/scores.json` and `scores.csv`.

    Args:
        scoring: Whose scores.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the tables of the verb `validate`, not those of a validation during training."""
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.VALIDATING:
            scores = run_scores(trainer, pl_module, self.scoring)
            print("", score_tables(scores), sep="\n", flush=True)  # below the progress bar

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints, writes and logs the scores of all sets."""
        if trainer.is_global_zero:
            scores = run_scores(trainer, pl_module, self.scoring)
            path = Path(trainer.default_root_dir, "scores.json")
            write_scores(path, scores)
            order = [f"order of the passes: {', '.join(scores.order)}"] if scores.order else []
            print("", score_tables(scores), *order, f"scores: {path}", sep="\n", flush=True)
            write_text(
                Path(trainer.default_root_dir, "scores.csv"), _image_table(sets_with_scores(trainer, self.scoring))
            )
            _log(trainer, scores)


def _image_table(scored: Sequence[tuple[EvaluationSet, SetScores]]) -> str:
    """Each image's scores as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["set", "image", "version", *SCORES, "protocol"])
    for dataset, of_set in scored:
        for by in of_set.protocol_names:
            for number, versions in of_set.per_image(by).items():
                for version, scores in versions.items():
                    image = dataset.images[number].name
                    table.writerow([dataset.name, image, version, *map(scores.get, SCORES), by])
    return text.getvalue()


def _log(trainer: Trainer, scores: RunScores) -> None:
    """The scores to the run's loggers, at the step that the network was trained to; to W&B as a table too."""
    results = [(name, one) for name, result in scores.sets.items() for one in result.by_protocol().values()]
    metrics = {
        f"{logged_place(name, one.protocol, scores.sets[name].protocol)}/{score}": getattr(
            one.versions[RESTORED], score
        )
        for name, one in results
        for score in SCORES
    }
    rows = [
        [name, result.factor, result.protocol, result.images, title, means.psnr, means.ssim]
        for name, result in results
        for title, means in ((title, result.versions[version]) for version, title in scores.titles.items())
    ]
    for logger in trainer.loggers:
        logger.log_metrics(metrics, scores.step)
        if isinstance(logger, WandbLogger):
            columns = ["set", "factor", "protocol", "images", "method", "PSNR (dB)", "SSIM"]
            logger.log_table("test/scores", columns, rows, step=scores.step)


def sets_with_scores(trainer: Trainer, scoring: Scoring) -> list[tuple[EvaluationSet, SetScores]]:
    """The sets that a verb has scored, and their scores."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    sets = data.val_sets if trainer.state.fn == TrainerFn.VALIDATING else data.test_sets
    return [(dataset, found) for dataset in sets if (found := scoring.scores[dataset.name]).images]


def run_scores(trainer: Trainer, task: Any, scoring: Scoring) -> RunScores:
    """What `scores.json` says of them."""
    sets = {}
    for dataset, of_set in sets_with_scores(trainer, scoring):
        found = {by: of_set.compute(by) for by in of_set.protocol_names}
        images = found[of_set.protocol.name]["images"]
        (first, versions), *others = (
            (by, {version: MeanScores(**means[version]) for version in of_set.versions}) for by, means in found.items()
        )
        sets[dataset.name] = SetResult(of_set.factor, first, images, versions, dataset.data, dict(others))
    methods = {
        name: Method(one.title, one.origin, asdict(one.restorer.settings)) for name, one in scoring.compared.items()
    }
    checkpoint = str(trainer.ckpt_path) if trainer.ckpt_path else None
    methods[RESTORED] = Method(task.title, checkpoint, asdict(task.inference))
    return RunScores(
        sets,
        methods,
        network=task.network_spec,
        parameters=parameters(task.network),
        order=task.order,
        weights=task.weights,
        step=task.steps_trained,
        precision=str(trainer.precision),
    )
