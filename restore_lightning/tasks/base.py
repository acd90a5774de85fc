"""What every restoration task shares: optimiser, schedule, steps, and the logging of losses."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from restore_lightning.checkpoints import (
    AVERAGED,
    CURRENT,
    KIND,
    ORDER,
    SETTINGS,
    SPEC,
    architecture_difference,
    network_state,
    shapes,
    state_dict_mismatch,
)
from restore_lightning.errors import UserError
from restore_lightning.inference import DEFAULT, Baseline, Compared, InferenceSettings, Restorer, read_baseline
from restore_lightning.runs.resume import check_resumed
from restore_lightning.tasks.compatibility import read_initial_checkpoint

log = logging.getLogger(__name__)


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam with paper 2's values: lr 1e-4, betas 0.9 and 0.999, eps 1e-8."""
    return torch.optim.Adam(parameters, lr=1e-4)


class RestorationTask(LightningModule, ABC):
    """Trains a network; a task says what the loss is and how an image is restored.

    Args:
        network: The network, injected by its class.
        optimizer: Makes the optimiser from the parameters that are trained.
        lr_scheduler: Makes the learning-rate schedule from the optimiser; None: constant. A plateau
            schedule watches `train/loss`.
        lr_scheduler_every: Optimiser steps between two steps of the schedule.
        baselines: What `test` compares with, by the name in its tables.
    """

    title: str
    """What tables call its results."""
    order: list[str] | None = None
    """The recurrent order; None: the task is told the factor."""
    inference: InferenceSettings = DEFAULT
    """How images are restored to be scored."""
    init_from: str | None = None
    """A checkpoint whose weights training starts from."""
    idle_branches: ClassVar[bool] = False
    """Whether a step leaves parts of the network without a gradient."""
    reserved: ClassVar = ("factor", "protocol", "data", "images", "degraded", "restored", "told", "before")
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
        self.network = network
        self.strict_loading = False  # `on_load_checkpoint` checks the network; a loss may have tensors of its own
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_scheduler_every = lr_scheduler_every
        self.network_spec: dict[str, Any] | None = None
        self.settings: dict[str, Any] = {}
        self.weights = CURRENT
        self.steps_trained = 0
        self._losses: dict[str, list[Tensor]] = {}
        self._logged = 0
        self._lr = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> "RestorationTask":
        """Averaged weights are kept in a copy; what makes optimisers knows the command, with open files."""
        memo |= {id(factory): factory for factory in (self.optimizer, self.lr_scheduler)}
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__setstate__(deepcopy(self.__getstate__(), memo))  # type: ignore[no-untyped-call]  # of nn.Module
        return copied

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `restore apply` needs: the network's class and arguments (set by the command), the order.

        Also the task's settings (set by the command), and whether its weights are the averaged ones.
        """
        checkpoint |= {SPEC: self.network_spec, ORDER: self.order, SETTINGS: self.settings}
        for callback in self.averaging():
            if "averaging_state" not in checkpoint:  # Lightning forgets them where only weights are saved
                callback.on_save_checkpoint(self.trainer, self, checkpoint)
        checkpoint[KIND] = AVERAGED if "averaging_state" in checkpoint else CURRENT

    def averaging(self) -> list[WeightAveraging]:
        """The trainer's callbacks that average weights."""
        return [one for one in self.trainer.callbacks if isinstance(one, WeightAveraging)]  # type: ignore[attr-defined]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the weights of another network.

        Raises:
            UserError: The tensors do not fit.
        """
        if self.trainer.training and not checkpoint.get("optimizer_states"):
            raise UserError(
                "--ckpt_path names a checkpoint without a state of training (restore convert wrote it?):"
                " give it as --model.init_from"
            )
        self.steps_trained = checkpoint.get("global_step", 0)
        self.weights = checkpoint.get(KIND, CURRENT)
        problem = state_dict_mismatch(shapes(self.network), network_state(checkpoint), most=3)
        if self.network_spec and checkpoint.get(SPEC):
            problem = problem or architecture_difference(self.network_spec, checkpoint[SPEC])
        if problem:
            raise UserError(
                f"the checkpoint is of another network than the config's: {problem};"
                " give model.network the settings it was trained with (config.yaml in its run)"
            )
        if self.trainer.training:
            check_resumed(checkpoint.get(SETTINGS) or {}, self.settings)
            self._count_batches(checkpoint)
            if self.weights == AVERAGED and not self.averaging():
                raise UserError(
                    "--ckpt_path names a checkpoint of a run that averages its weights, this one does not: go on with"
                    " --config config.yaml of its folder"
                )

    def _count_batches(self, checkpoint: dict[str, Any]) -> None:
        """Let Lightning, which counts batches, begin with a whole step where more or fewer of them make one now."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        batches = checkpoint["global_step"] * self.trainer.accumulate_grad_batches
        for counted in (progress["total"], progress["current"]):
            # All by the same: where a step's end saved, its batch is not completed, which Lightning makes up for.
            more = batches - counted["processed"]
            counted.update({name: number + more for name, number in counted.items()})

    @abstractmethod
    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The training loss of a batch {factor, factors, degraded, clean}."""

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

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Restore one image; callbacks score, show and write it."""
        return self.restorer().restore(batch["degraded"], batch["factors"])

    test_step = validation_step
    predict_step = validation_step
