"""What every restoration task shares: optimiser, schedule, steps, and the logging of losses."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from restore_lightning.checkpoint_files import (
    AVERAGED,
    CURRENT,
    DATA,
    KIND,
    ORDER,
    PRECISION,
    SETTINGS,
    SPEC,
)
from restore_lightning.checkpoints import check_finite, network_state, read_initial_checkpoint
from restore_lightning.inference import (
    DEFAULT,
    Baseline,
    Compared,
    InferenceSettings,
    Restorer,
    network_outputs,
    read_baseline,
)
from restore_lightning.networks import network_info, to_channels_last
from restore_lightning.runs.averaging import keep_averages, kind_of_weights
from restore_lightning.runs.resume import check_resumed, continue_batches
from restore_lightning.tasks.divergence import check_losses, check_weights
from restore_lightning.tasks.kernels import compiled, fuse_step
from restore_lightning.tasks.mean_losses import MeanLosses, RunningLosses

log = logging.getLogger(__name__)


RUNNING = "running_losses"
"""Key of a checkpoint."""


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam with paper 2's values: lr 1e-4, betas 0.9 and 0.999, eps 1e-8."""
    return torch.optim.Adam(parameters, lr=1e-4)


class RestorationTask(LightningModule, ABC):
    """Trains a network; a task says what the loss is and how an image is restored.

    Args:
        network: The network, injected by its class.
        optimizer: Makes the optimiser from the parameters that are trained.
        lr_scheduler: Makes the learning-rate schedule from the optimiser; None: constant. A plateau
            schedule watches `train/loss`, the batch's loss; where each batch has one of several factors, the mean over
            factors of their running means.
        lr_scheduler_every: Optimiser steps between two steps of the schedule.
        baselines: What `test` compares with, by the name in its tables.
        compile: Let `torch.compile` make kernels for the network's training steps: one graph per factor and size of
            crops. What it gains was not measured on a GPU yet; on CPUs making the graphs takes longer than a short run.
            Evaluation stays as it is, its images have many sizes.
    """

    title: str
    """What tables call its results."""
    order: list[str] | None = None
    """The recurrent order; None: the task is told the factor."""
    inference: InferenceSettings = DEFAULT
    """How images are restored to be scored."""
    init_from: str | None = None
    """A checkpoint whose weights training starts from."""
    logged_losses: dict[str, float]
    """Factor -> the loss of the last logged row that has one."""
    idle_branches: ClassVar[bool] = False
    """Whether a step leaves parts of the network without a gradient."""
    reserved: ClassVar = ("factor", "protocol", "protocols", "data", "images", "degraded", "restored", "told", "before")
    """Entries of a set in `scores.json` that no baseline can be called."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_every: int = 1,
        baselines: dict[str, Baseline] | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        for name in baselines or {}:
            if name in self.reserved:
                raise ValueError(f"baselines: {name!r} is taken ({', '.join(self.reserved)}), choose another name")
        self.baselines = baselines or {}
        self.network = network
        if network_info(network).channels_last:
            to_channels_last(network)
        self.outputs_of = compiled(network_outputs) if compile else network_outputs
        self.strict_loading = False  # `on_load_checkpoint` checks the network; a loss may have tensors of its own
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_scheduler_every = lr_scheduler_every
        self.network_spec: dict[str, Any] | None = None
        self.settings: dict[str, Any] = {}
        self.weights = CURRENT
        self.steps_trained = 0
        self.last_factor: str | None = None
        self._losses = MeanLosses()
        self.running_losses = RunningLosses()
        self.logged_losses = {}
        self._logged = 0
        self._trials = False
        self._lr = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> "RestorationTask":
        """A copy, as averaging makes; it shares what makes optimisers, which leads to the command's open files."""
        memo |= {id(factory): factory for factory in (self.optimizer, self.lr_scheduler)}
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__setstate__(deepcopy(self.__getstate__(), memo))  # type: ignore[no-untyped-call]  # of nn.Module
        return copied

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `restore apply` needs, what a resumed run compares, and which weights these are.

        Raises:
            UserError: Training diverged; nothing is written then.
        """
        check_losses(self.trainer, self._losses, self._losses.of_all_processes(self.trainer.strategy))
        check_weights(self.trainer, self.network)
        checkpoint |= self._described() | {RUNNING: self.running_losses.of_all_processes(self.trainer.strategy)}
        keep_averages(self.trainer, self, checkpoint)
        checkpoint[KIND] = AVERAGED if "averaging_state" in checkpoint else CURRENT
        checkpoint[PRECISION] = str(self.trainer.precision)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take weights, and in training the position; see `runs.resume.RULES`.

        Raises:
            UserError: The checkpoint is of another network, or of a run that cannot go on as this one.
        """
        training = self.trainer.training
        data = self.trainer.datamodule.state_dict()  # type: ignore[attr-defined]
        this_run = {**self._described(), "state_dict": self.state_dict(), DATA: data}
        this_run |= {KIND: kind_of_weights(self.trainer), PRECISION: str(self.trainer.precision)}
        check_resumed(checkpoint, this_run, scoring=not training, path=self.trainer.ckpt_path)
        check_finite(str(self.trainer.ckpt_path), self.network, network_state(checkpoint))
        self.steps_trained = checkpoint.get("global_step", 0)
        self.weights = checkpoint.get(KIND, CURRENT)
        kind = torch.promote_types(self.dtype, torch.float32)  # type: ignore[arg-type]  # Lightning says str too
        self.running_losses = RunningLosses(checkpoint.get(RUNNING, {}), kind, self.device)
        if training:
            continue_batches(checkpoint, self.trainer.accumulate_grad_batches)

    def _described(self) -> dict[str, Any]:
        """The network's class and arguments and the task's settings (both set by the command), and the order."""
        return {SPEC: self.network_spec, ORDER: self.order, SETTINGS: self.settings}

    @abstractmethod
    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The training loss of a batch {factor, sources, factors, degraded, clean}, see `data.training_set.collate`."""

    @abstractmethod
    def restorer(self) -> Restorer:
        """The network, and the way it is used."""

    def load_initial_weights(self) -> None:
        """Take the weights of `init_from`, if there is one; refusals come before anything is written."""
        if self.init_from is not None:
            trained = read_initial_checkpoint(self.init_from, self.network, self.network_spec)
            self.network.load_state_dict(trained.network.state_dict())
            log.info("starting from %s", self.init_from)

    def compared(self) -> dict[str, Compared]:
        """What `test` compares with, by the name in its tables: the baselines, read from their checkpoints."""
        return {name: read_baseline(name, baseline) for name, baseline in self.baselines.items()}

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
            # Of all processes, which step one schedule.
            seen = self.trainer.callback_metrics[scheduler.monitor].to(self.device)
            scheduler.step(self.trainer.strategy.reduce(seen, reduce_op="mean"))
        else:
            scheduler.step()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One batch, of one factor or of several."""
        self.last_factor = batch["factor"] or batch["sources"][0]
        loss, by_factor = self.losses(batch)
        # This process's, and nothing that waits for the device: what is logged or looked at is their mean, once it is.
        for factor, own in by_factor.items():
            samples = len(batch["clean"]) if batch["factor"] else batch["sources"].count(factor)
            self._losses.add(factor, own, batch_idx, samples)
            self.log(f"train/{factor}/loss", own, logger=False, batch_size=len(batch["clean"]))
        return loss

    def losses(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss of a batch, and, without gradient, that of each of its factors."""
        loss = self.loss(batch)
        return loss, {batch["factor"]: loss.detach()}

    def on_train_batch_end(self, outputs: Any, batch: dict[str, Any], batch_idx: int) -> None:
        """Every `log_every_n_steps`: each factor's mean loss since the last time, learning rate, cycle.

        Raises:
            UserError: A loss was not finite.
        """
        steps = self.trainer.global_step
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if steps == self._logged or every == 0 or steps % every:
            return
        losses = self._losses.of_all_processes(self.trainer.strategy)
        check_losses(self.trainer, self._losses, losses)
        self.logged_losses |= losses
        row = {f"train/{factor}/loss": loss for factor, loss in losses.items()}
        row |= {"lr": self._lr, "cycle": float(batch["cycle"])}
        # Not `self.log`, which repeats the last loss of every other factor in each row.
        for logger in self.loggers:
            logger.log_metrics(row, step=steps - 1)
        self._losses, self._logged = self._no_losses(), steps

    def _no_losses(self) -> MeanLosses:
        return MeanLosses(self.trainer.datamodule.resolved)  # type: ignore[attr-defined]

    def on_train_start(self) -> None:
        """A resumed run has logged what came before; optimisers have their states by now."""
        self._losses, self._logged = self._no_losses(), self.trainer.global_step
        for optimizer in self.trainer.optimizers:
            fuse_step(optimizer)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the learning rate that this step uses."""
        self._lr = float(optimizer.param_groups[0]["lr"])

    def on_validation_start(self) -> None:
        """Whole images have many sizes: cuDNN tries its ways to convolve on training crops alone."""
        self._trials, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False

    def on_validation_end(self) -> None:
        """Training goes on with them."""
        torch.backends.cudnn.benchmark = self._trials

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Restore one image; callbacks score, show and write it."""
        return self.restorer().restore(batch["degraded"], batch["factors"])

    predict_step = validation_step

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Restore one image; `{"steps": the result of Restorer.restore_steps}`."""
        return {"steps": self.restorer().restore_steps(batch["degraded"], batch["factors"])}
