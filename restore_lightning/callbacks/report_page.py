"""The end of `restore test`: the report page, and its pictures in W&B."""

import csv
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from PIL import Image, ImageOps
from torch import Tensor

from restore_lightning.callbacks.score_report import run_scores, sets_with_scores
from restore_lightning.callbacks.scoring import Scoring
from restore_lightning.data.evaluation_set import EvaluationSet
from restore_lightning.inference import RestorationStep
from restore_lightning.io.files import write_text
from restore_lightning.io.images import enlarged, to_float, to_uint8
from restore_lightning.metrics.scores import SetScores
from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.page import render_page
from restore_lightning.reports.pictures import Picture, StepImage, make_picture, side_by_side
from restore_lightning.runs.folder import METRICS

log = logging.getLogger(__name__)

Scores = Mapping[str, Mapping[str, float]]
"""Of an image: {version: {"psnr", "ssim"}}."""
LEAST, MOST, ALL = 2, 8, 16
"""Pictures of a set: at least, at most; of all sets together, as far as the first of these allows."""


class ReportPage(Callback):
    """After `test`: `<run>/report/index.html`.

    It shows the images whose PSNR the network changed for the worst and for the best, of every set. Of small
    sets all pictures are made during the test. Of larger ones the chosen images are read and restored once more, pass
    by pass, instead of being kept: test images are the same whenever they are read.

    Args:
        scoring: Whose scores.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self._pictures: dict[tuple[str, int], Picture] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier test."""
        self._pictures = {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Make the picture of an image of a small set."""
        sets: list[EvaluationSet] = trainer.datamodule.test_sets  # type: ignore[attr-defined]
        images = next(len(one) for one in sets if one.name == batch["set"])
        if trainer.is_global_zero and images <= MOST:
            scores = self.scoring.scores[batch["set"]]
            self._pictures[batch["set"], batch["number"]] = _picture(batch, outputs["steps"], scores)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores chosen images of large sets once more and writes the page."""
        task: Any = pl_module
        if not trainer.is_global_zero:
            return
        scored = {dataset.name: (dataset, of_set) for dataset, of_set in sets_with_scores(trainer, self.scoring)}
        scores = {name: of_set.per_image() for name, (_, of_set) in scored.items()}
        chosen = chosen_images(scores)
        again = sum((name, number) not in self._pictures for name, number, _ in chosen)
        if again:
            log.info("report: %d images are restored once more, pass by pass", again)
        pictures = []
        for name, number, why in chosen:
            picture = self._pictures.get((name, number))
            if picture is None:
                dataset, of_set = scored[name]
                sample = _sample(dataset, number, task.device)
                with trainer.precision_plugin.forward_context():
                    steps = task.restorer().restore_steps(sample["degraded"], sample["factors"])
                picture = _picture(sample, steps, of_set)
            pictures.append(picture._replace(why=why, scores=scores[name][number]))
        self._pictures = {}
        run = Path(trainer.default_root_dir)
        images = {
            name: [ImageScores(scored[name][0].images[number].name, entry) for number, entry in found.items()]
            for name, found in scores.items()
        }
        title, written = run.resolve().name, datetime.now().astimezone()
        scores_of_run = run_scores(trainer, task, self.scoring)
        text = render_page(scores_of_run, images, _curves(run / METRICS), pictures, title, written)
        write_text(run / "report/index.html", text)
        print(f"report: {run / 'report/index.html'}", flush=True)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                _log(logger, pictures, task.steps_trained)


def chosen_images(scores: Mapping[str, Mapping[int, Scores]]) -> list[tuple[str, int, str]]:
    """The images to show: of each set those whose PSNR gained least and most.

    Args:
        scores: Set -> number -> scores.

    Returns:
        Set, number, and why. The worst and the best of every set come first, then the second ones.
    """
    number = min(MOST, max(LEAST, ALL // max(1, len(scores))))
    ranked = [list(_ranked(name, found, number)) for name, found in scores.items()]
    return [one for one in chain.from_iterable(zip_longest(*ranked)) if one is not None]


def _ranked(name: str, found: Mapping[int, Scores], most: int) -> Iterator[tuple[str, int, str]]:
    """From both ends in turn, the least gain first."""

    def gain(number: int) -> float:
        before, after = (found[number][version]["psnr"] for version in ("degraded", "restored"))
        if math.isnan(before) or math.isnan(after):
            return -math.inf
        return 0.0 if math.isinf(before) and math.isinf(after) else after - before

    left = sorted(found, key=gain)
    for turn in range(min(most, len(left))):
        yield name, left.pop(0 if turn % 2 == 0 else -1), "least gain" if turn % 2 == 0 else "largest gain"


def _sample(dataset: EvaluationSet, number: int, device: torch.device) -> dict[str, Any]:
    """An image of a set, as a test's batch."""
    sample = dataset[number]
    return sample | {key: to_float(sample[key]).to(device)[None] for key in ("degraded", "clean")}


def _picture(batch: dict[str, Any], restored: Sequence[RestorationStep], of_set: SetScores) -> Picture:
    """Of one image; not every score of it, nor why it is shown, is known yet."""
    degraded, clean = enlarged(batch["degraded"], batch["clean"]), batch["clean"]

    def psnr(image: Tensor) -> float:
        return float(of_set.protocol.psnr(image, clean))

    steps = [
        StepImage(one.factor, _shown(one.image), psnr(one.image)) for one in restored if one.image.shape == clean.shape
    ]
    versions = {"degraded": degraded, "restored": restored[-1].image}
    return make_picture(
        batch["set"],
        batch["name"],
        why="",
        scores={version: {"psnr": psnr(image)} for version, image in versions.items()},
        clean=_shown(clean),
        steps=steps if len(steps) > 1 else (),
        **{version: _shown(image) for version, image in versions.items()},
    )


def _shown(image: Tensor) -> Tensor:
    """(1, C, H, W) in [0, 1] -> (3, H, W) uint8 in memory; gray as colour."""
    return to_uint8(image[0]).expand(3, -1, -1).cpu()


def _curves(path: Path) -> list[dict[str, str | None]]:
    """The rows of the run's metrics; none for a test without a run."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _log(logger: WandbLogger, pictures: list[Picture], step: int) -> None:
    """Each set's pictures, versions side by side, as bytes: W&B shows floats in [0, 1] as black."""
    for name in dict.fromkeys(one.set for one in pictures):
        of_set = [one for one in pictures if one.set == name]
        captions = [f"{one.name} ({one.why}): {' | '.join(v.label for v in one.versions)}" for one in of_set]
        logger.log_image(
            f"test/{name}/pictures", _alike([side_by_side(one) for one in of_set]), step=step, caption=captions
        )


def _alike(images: list[Image.Image]) -> list[Image.Image]:
    """Filled up to one size, which W&B asks for."""
    size = max(image.width for image in images), max(image.height for image in images)
    return [ImageOps.expand(image, (0, 0, size[0] - image.width, size[1] - image.height), "white") for image in images]
