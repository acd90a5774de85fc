"""The scores of validation and test sets, and of the baselines that `test` compares with."""

from contextlib import nullcontext
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from restore_lightning.data.evaluation_set import EvaluationSet
from restore_lightning.errors import UserError
from restore_lightning.inference import Compared, Restorer
from restore_lightning.io.images import enlarged, size_of
from restore_lightning.metrics.scores import SCORES, SetScores
from restore_lightning.networks import network_info
from restore_lightning.tasks import RestorationTask


class Scoring(Callback):
    """Scores what the task restores; logs `val/<factor>/psnr`, `val/psnr`, `test/<set>/psnr`, and ssim likewise.

    Of several protocols these are the first one's; the others' are `test/<set>/<protocol>/psnr`.

    It stands before the callbacks that read its scores. A `Trainer` of one's own gets them by
    `Trainer(callbacks=[Scoring()])`.

    Attributes:
        scores: Set -> its scores, while and after it is validated or tested.
        compared: What the test compares with, by the name in its tables.
    """

    def __init__(self) -> None:
        self.scores: dict[str, SetScores] = {}
        self.compared: dict[str, Compared] = {}

    @property
    def baselines(self) -> dict[str, Restorer]:
        """What the test compares with."""
        return {name: one.restorer for name, one in self.compared.items()}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the baselines, and give them the run's precision.

        Raises:
            UserError: One that is told the factors lacks one of them.
        """
        self.compared = _task(pl_module).compared()
        sets: list[EvaluationSet] = trainer.datamodule.test_sets  # type: ignore[attr-defined]
        for name, restorer in self.baselines.items():
            for dataset in sets:
                missing = [f for f in dataset.factors if restorer.order is None and f not in restorer.factors]
                if missing:
                    raise UserError(
                        f"{name!r} is told the factors, and its network ({', '.join(restorer.factors)}) has no"
                        f" {missing[0]}, which the test set {dataset.name!r} has: give it an order, or leave it out"
                    )
            restorer.to(pl_module.device)
            if _in_precision_of(trainer, restorer):
                for network in restorer.networks.values():
                    trainer.precision_plugin.convert_module(network)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the scores of every validation set."""
        self._begin(trainer.datamodule.val_sets, pl_module)  # type: ignore[attr-defined]

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the scores of every test set."""
        self._begin(trainer.datamodule.test_sets, pl_module, *self.compared)  # type: ignore[attr-defined]

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Score one image."""
        self._score(batch, {"restored": outputs})

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Score one image, restored by the task and by each baseline."""
        images = {name: _restored(trainer, one, batch) for name, one in self.baselines.items()}
        self._score(batch, images | {"restored": outputs["steps"][-1].image})

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log `val/<factor>/psnr`, `val/<factor>/ssim` and their means over factors."""
        by_factor: dict[str, list[dict[str, float]]] = {}
        for scores in self.scores.values():
            if scores.images:
                by_factor.setdefault(scores.factor, []).append(scores.compute()["restored"])
        for score in SCORES:
            means = {factor: sum(s[score] for s in sets) / len(sets) for factor, sets in by_factor.items()}
            for factor, mean in means.items():
                pl_module.log(f"val/{factor}/{score}", mean)
            pl_module.log(f"val/{score}", sum(means.values()) / len(means), prog_bar=score == "psnr")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log `test/<set>/psnr` and `test/<set>/ssim`; loggers get them from `ScoreReport`, at the step trained to."""
        for name, scores in self.scores.items():
            if scores.images:
                for protocol in scores.protocol_names:
                    restored = scores.compute(protocol)["restored"]
                    place = logged_place(name, protocol, scores.protocol.name)
                    pl_module.log_dict({f"{place}/{score}": restored[score] for score in SCORES}, logger=False)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Free the baselines' memory."""
        self.compared = {}

    def _begin(self, sets: list[EvaluationSet], task: LightningModule, *baselines: str) -> None:
        versions = ["degraded", *baselines, "restored"]
        self.scores = {
            dataset.name: SetScores(dataset.factor, dataset.protocols, versions, dataset.scale).to(task.device)
            for dataset in sets
        }

    def _score(self, batch: dict[str, Any], images: dict[str, Tensor]) -> None:
        clean, what = batch["clean"], f"set {batch['set']!r}, image {batch['name']}"
        images = images | {"degraded": enlarged(batch["degraded"], clean)}
        for image in images.values():
            if image.shape != clean.shape:
                raise UserError(
                    f"{what}: restored it is {size_of(image)}, the clean image {size_of(clean)} (channels x height x"
                    " width): the network's channels or scale do not fit the images"
                )
        try:
            # Filled on the device, which a copy of the number would wait for.
            self.scores[batch["set"]].update(images, clean, torch.full((1,), batch["number"], device=clean.device))
        except ValueError as error:
            raise UserError(f"{what}: {error}", exit_code=1) from error


def logged_place(test_set: str, protocol: str, first: str) -> str:
    """What the names of a test set's logged scores begin with, by the first protocol or another one.

    >>> logged_place("rain", "aio-rgb", "aio-rgb"), logged_place("rain", "moce-rgb", "aio-rgb")
    ('test/rain', 'test/rain/moce-rgb')
    """
    return f"test/{test_set}" if protocol == first else f"test/{test_set}/{protocol}"


def _in_precision_of(trainer: Trainer, restorer: Restorer) -> bool:
    """Whether a baseline computes in the run's precision: in half a one only where its networks declare that."""
    return "16" not in trainer.precision or all(network_info(one).half_precision for one in restorer.networks.values())


def _restored(trainer: Trainer, restorer: Restorer, batch: dict[str, Any]) -> Tensor:
    """What a baseline makes of a batch: in the run's precision, or in float32."""
    together = _in_precision_of(trainer, restorer)
    degraded = batch["degraded"] if together else batch["degraded"].float()
    with trainer.precision_plugin.forward_context() if together else nullcontext():
        return restorer.restore(degraded, batch["factors"])


def _task(module: LightningModule) -> RestorationTask:
    assert isinstance(module, RestorationTask)
    return module
