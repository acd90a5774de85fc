"""What every restoration task shares: optimiser, logging, and the scores of validation and test sets."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from restore_lightning.checkpoints import (
    AVERAGED,
    CURRENT,
    DATA,
    KIND,
    ORDER,
    SETTINGS,
    SPEC,
    Trained,
    architecture_difference,
    load_trained,
    shapes,
    state_dict_mismatch,
)
from restore_lightning.data.evaluation import EvaluationSet
from restore_lightning.errors import UserError
from restore_lightning.inference import PLAIN, Baseline, Inference, Method, Pass, load_method
from restore_lightning.io.images import enlarged
from restore_lightning.metrics.scores import SCORES, SetScores
from restore_lightning.runs.averaging import keep_averages, kind_of_weights
from restore_lightning.runs.resume import check_resumed, continue_batches
from restore_lightning.tasks.compatibility import size_of

log = logging.getLogger(__name__)


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam with paper 2's values: lr 1e-4, betas 0.9 and 0.999, eps 1e-8."""
    return torch.optim.Adam(parameters, lr=1e-4)


class RestorationTask(LightningModule, ABC):
    """Trains a network and scores it; a task says what the loss is and how an image is restored.

    Args:
        network: The network, injected by its class.
        optimizer: Makes the optimiser from the parameters that are trained.
        lr_scheduler: Makes the learning-rate schedule from the optimiser; None: constant. A plateau
            schedule watches `train/loss`.
        lr_scheduler_every: Optimiser steps between two steps of the schedule.
        baselines: What `test` compares with, by the name in its tables.
    """

    titles: Mapping[str, str] = {"restored": "restored"}
    """What tables call the versions of an image; baselines have the names of their own."""
    order: list[str] | None = None
    """The recurrent order; None: the task is told the factor."""
    inference: Inference = PLAIN
    """How images are restored to be scored."""
    init_from: str | None = None
    """A checkpoint whose weights training starts from."""
    idle_branches: ClassVar[bool] = False
    """Whether a step leaves parts of the network without a gradient."""
    reserved: ClassVar[tuple[str, ...]] = (
        "factor",
        "protocol",
        "data",
        "images",
        "degraded",
        "restored",
        "told",
        "before",
    )
    """Entries of a set in `scores.json` that no baseline can be called."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_every: int = 1,
        baselines: dict[str, Baseline] | None = None,
    ) -> None:
        super().__init__()
        for name in baselines or {}:
            if name in self.reserved:
                raise ValueError(f"baselines: {name!r} is taken ({', '.join(self.reserved)}), choose another name")
        self.baselines = baselines or {}
        self.methods: dict[str, Method] = {}
        self.network = network
        self.strict_loading = False  # `on_load_checkpoint` checks the network; a loss may have tensors of its own
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_scheduler_every = lr_scheduler_every
        self.scores: dict[str, SetScores] = {}
        self.network_spec: dict[str, Any] | None = None
        self.settings: dict[str, Any] = {}
        self.weights = CURRENT
        self.steps_trained = 0
        self._losses: dict[str, list[Tensor]] = {}
        self._logged = 0
        self._lr = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> "RestorationTask":
        """A copy, as averaging makes; it shares what makes optimisers, which leads to the command's open files."""
        memo |= {id(factory): factory for factory in (self.optimizer, self.lr_scheduler)}
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__setstate__(deepcopy(self.__getstate__(), memo))  # type: ignore[no-untyped-call]  # of nn.Module
        return copied

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `restore apply` needs, what a resumed run compares, and which weights these are."""
        checkpoint |= self._described()
        keep_averages(self.trainer, self, checkpoint)
        checkpoint[KIND] = AVERAGED if "averaging_state" in checkpoint else CURRENT

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take weights, and in training the position; see `runs.resume.RULES`.

        Raises:
            UserError: The checkpoint is of another network, or of a run that cannot go on as this one.
        """
        training = self.trainer.training
        data = self.trainer.datamodule.state_dict()  # type: ignore[attr-defined]
        this_run = {**self._described(), "state_dict": self.state_dict(), DATA: data}
        check_resumed(checkpoint, this_run | {KIND: kind_of_weights(self.trainer)}, scoring=not training)
        self.steps_trained = checkpoint.get("global_step", 0)
        self.weights = checkpoint.get(KIND, CURRENT)
        if training:
            continue_batches(checkpoint, self.trainer.accumulate_grad_batches)

    def _described(self) -> dict[str, Any]:
        """The network's class and arguments and the task's settings (both set by the command), and the order."""
        return {SPEC: self.network_spec, ORDER: self.order, SETTINGS: self.settings}

    @abstractmethod
    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The training loss of a batch {factor, factors, degraded, clean}."""

    @abstractmethod
    def walk(self, image: Tensor, factors: Sequence[str]) -> list[Pass]:
        """Restore a degraded image of any size, pass by pass.

        Args:
            image: (B, C, H, W) in [0, 1].
            factors: What degrades it, in the order of application; for tasks that are told.

        Returns:
            What each pass removes and the image after it, clamped to [0, 1]; the last one is the result.
        """

    def restore(self, image: Tensor, factors: Sequence[str]) -> Tensor:
        """The result of `walk`."""
        return self.walk(image, factors)[-1].image

    def load_initial_weights(self) -> None:
        """Take the weights of `init_from`, if there is one; refusals come before anything is written."""
        if self.init_from is not None:
            self.network.load_state_dict(self.start().network.state_dict())
            log.info("starting from %s", self.init_from)

    def start(self) -> Trained:
        """The checkpoint `init_from`.

        Raises:
            UserError: It cannot be read, or its network is another one.
        """
        path = Path(str(self.init_from)).expanduser()
        if not path.is_file():
            raise UserError(
                f"model.init_from {path}: no such file; run step 1 first, or name the checkpoint of another run"
            )
        trained = load_trained(path)
        problem = self.network_spec and architecture_difference(self.network_spec, trained.spec)
        problem = problem or state_dict_mismatch(shapes(self.network), trained.network.state_dict(), most=3)
        if problem:
            raise UserError(
                f"model.init_from {path} is of another network than the config's: {problem};"
                " give model.network the settings of the config.yaml beside its checkpoints"
            )
        return trained

    def compared(self) -> dict[str, Method]:
        """What `test` compares with: the baselines, read from their checkpoints."""
        return {name: load_method(name, baseline) for name, baseline in self.baselines.items()}

    def compared_checkpoints(self) -> dict[str, str | dict[str, str]]:
        """Where the methods of `compared` come from: a checkpoint, or one per factor."""
        return {name: baseline.checkpoint for name, baseline in self.baselines.items()}

    def on_test_start(self) -> None:
        """Read the baselines.

        Raises:
            UserError: One that is told the factors lacks one of them.
        """
        self.methods = self.compared()
        sets: list[EvaluationSet] = self.trainer.datamodule.test_sets  # type: ignore[attr-defined]
        for name, method in self.methods.items():
            for dataset in sets:
                lacking = [f for f in dataset.factors if method.order is None and f not in method.network.factors]
                if lacking:
                    raise UserError(
                        f"{name!r} is told the factors, and its network ({', '.join(method.network.factors)}) has no"
                        f" {lacking[0]}, which the test set {dataset.name!r} has: give it an order, or leave it out"
                    )
            method.network.to(self.device)

    def on_test_end(self) -> None:
        """Their memory is free again."""
        self.methods = {}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Only the network's parameters that require a gradient; the schedule steps with the optimiser."""
        optimizer = self.optimizer(parameter for parameter in self.network.parameters() if parameter.requires_grad)
        if self.lr_scheduler is None:
            return optimizer
        # Lightning steps a plateau schedule after it has saved, which a resumed run would miss.
        schedule = {"scheduler": self.lr_scheduler(optimizer), "interval": "step", "reduce_on_plateau": False}
        return {"optimizer": optimizer, "lr_scheduler": schedule}  # type: ignore[return-value]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Every `lr_scheduler_every` optimiser steps."""
        if self.trainer.global_step % self.lr_scheduler_every:
            return
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics[scheduler.monitor])
        else:
            scheduler.step()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One minibatch of one factor."""
        loss = self.loss(batch)
        # Of all processes: they step one learning-rate schedule, and the first one's numbers are those of the run.
        mean = torch.as_tensor(self.all_gather(loss.detach())).mean()
        self._losses.setdefault(batch["factor"], []).append(mean)
        self.log(f"train/{batch['factor']}/loss", mean, prog_bar=True, logger=False, batch_size=len(batch["clean"]))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: dict[str, Any], batch_idx: int) -> None:
        """Every `log_every_n_steps`: each factor's mean loss since the last time, learning rate, cycle."""
        steps = self.trainer.global_step
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if steps == self._logged or every == 0 or steps % every:
            return
        row = {f"train/{factor}/loss": float(torch.stack(losses).mean()) for factor, losses in self._losses.items()}
        row |= {"lr": self._lr, "cycle": float(batch["cycle"])}
        # Not `self.log`, which repeats the last loss of every other factor in each row.
        for logger in self.loggers:
            logger.log_metrics(row, step=steps - 1)
        self._losses, self._logged = {}, steps

    def on_train_start(self) -> None:
        """A resumed run has logged what came before."""
        self._losses, self._logged = {}, self.trainer.global_step

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the learning rate that this step uses."""
        self._lr = float(optimizer.param_groups[0]["lr"])

    def on_validation_epoch_start(self) -> None:
        """Fresh scores for every validation set."""
        self._start_scores(self.trainer.datamodule.val_sets, ())  # type: ignore[attr-defined]

    def on_test_epoch_start(self) -> None:
        """Fresh scores for every test set."""
        self._start_scores(self.trainer.datamodule.test_sets, self.methods)  # type: ignore[attr-defined]

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Score one image; returns it restored, for callbacks."""
        return self._score(batch, {})

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Score one image, restored by each method; returns this task's, for callbacks."""
        return self._score(batch, self.methods)

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Restore one image."""
        return self.restore(batch["degraded"], batch["factors"])

    def on_validation_epoch_end(self) -> None:
        """Log `val/<factor>/psnr`, `val/<factor>/ssim` and their means over factors."""
        by_factor: dict[str, list[dict[str, float]]] = {}
        for scores in self.scores.values():
            if scores.images:
                by_factor.setdefault(scores.factor, []).append(scores.compute()["restored"])
        for score in ("psnr", "ssim"):
            means = {factor: sum(s[score] for s in sets) / len(sets) for factor, sets in by_factor.items()}
            for factor, mean in means.items():
                self.log(f"val/{factor}/{score}", mean)
            self.log(f"val/{score}", sum(means.values()) / len(means), prog_bar=score == "psnr")

    def on_test_epoch_end(self) -> None:
        """Log `test/<set>/psnr` and `test/<set>/ssim`; loggers get them from `ScoreReport`, at the step trained to."""
        for name, scores in self.scores.items():
            if scores.images:
                restored = scores.compute()["restored"]
                self.log_dict({f"test/{name}/{score}": restored[score] for score in SCORES}, logger=False)

    def _start_scores(self, sets: list[EvaluationSet], methods: Iterable[str]) -> None:
        versions = ["degraded", *methods, "restored"]
        self.scores = {
            dataset.name: SetScores(dataset.factor, dataset.protocol, versions, dataset.scale).to(self.device)
            for dataset in sets
        }

    def _score(self, batch: dict[str, Any], methods: Mapping[str, Method]) -> Tensor:
        degraded, factors = batch["degraded"], batch["factors"]
        images = {name: method(degraded, factors) for name, method in methods.items()}
        restored = self.restore(degraded, factors)
        images |= {"degraded": enlarged(degraded, batch["clean"]), "restored": restored}
        for image in images.values():
            if image.shape != batch["clean"].shape:
                raise UserError(
                    f"set {batch['set']!r}, image {batch['name']}: restored it is {size_of(image)}, the clean image"
                    f" {size_of(batch['clean'])} (channels x height x width): the network's channels or scale do not"
                    " fit the images"
                )
        try:
            self.scores[batch["set"]].update(images, batch["clean"], torch.tensor([batch["number"]]))
        except ValueError as error:
            raise UserError(f"set {batch['set']!r}, image {batch['name']}: {error}", exit_code=1) from error
        return restored
