"""Any network that maps an image to an image, on one degradation factor or several, told nothing."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from restore_lightning.checkpoint_files import FACTORS, MULTIPLE
from restore_lightning.data.module import RestorationData
from restore_lightning.errors import UserError
from restore_lightning.inference import DEFAULT, Baseline, InferenceSettings, Restorer
from restore_lightning.io.images import size_of
from restore_lightning.losses import SSIML1, stage_weights
from restore_lightning.networks import network_info, set_size_multiple
from restore_lightning.networks.layers import downsample
from restore_lightning.tasks.base import RestorationTask, adam
from restore_lightning.tasks.data_checks import check_crop, check_images


class ImageToImageTask(RestorationTask):
    """Trains a network of one's choice: DuRN, PromptIR, or any `nn.Module` named by its import path.

    The network maps (B, C, H, W) in [0, 1] to an image, or to a list of images of which the last is the result; one
    with a method `stages(image)` is trained on all images that it returns. It may declare an `info`
    (a `NetworkInfo`). Smaller outputs are compared with the clean image halved to their size.

    The data may have several factors: the network is told none, neither in training nor later.

    Args:
        network: The network, injected by its class.
        loss: `(restored, clean) -> number` for (B, C, H, W): SSIML1, torch.nn.L1Loss, torch.nn.MSELoss, or one's own;
            None: SSIML1 with paper 1's weights.
        output_weights: Weights of the outputs, first to last: numbers, "equal" (all 1), or "increasing" as paper 4's.
        size_multiple: Sides of images that a network takes which declares no sizes: multiples of this many
            pixels; None: any.
        inference: How images are restored to be scored: in tiles, with local statistics, as a self-ensemble (DIN+).
        init_from: A checkpoint whose weights training starts from; None: fresh weights.
        optimizer: Makes the optimiser; default Adam with lr 1e-4.
        lr_scheduler: Makes the learning-rate schedule; None: constant.
        lr_scheduler_every: Optimiser steps between two steps of the schedule.
        baselines: What `test` compares with, by the name in its tables.
        title: The network's name in tables; None: its class. Of several factors they say "(factor unknown)".
        compile: Let `torch.compile` make kernels for the network's training steps.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module | None = None,
        output_weights: list[float] | Literal["equal", "increasing"] = "equal",
        size_multiple: int | None = None,
        inference: InferenceSettings = DEFAULT,
        init_from: str | None = None,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_every: int = 1,
        baselines: dict[str, Baseline] | None = None,
        title: str | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(network, optimizer, lr_scheduler, lr_scheduler_every, baselines, compile)
        info = network_info(network)
        if info.factors:
            raise ValueError(f"{type(network).__name__} has branches for several factors: use MultiBranchTask")
        if size_multiple is not None:
            if info.sizes is not None:
                raise ValueError(f"size_multiple: {type(network).__name__} declares its sizes itself, leave it out")
            if size_multiple < 1:
                raise ValueError(f"size_multiple {size_multiple}: at least 1")
            set_size_multiple(network, size_multiple)
        self.criterion = loss or SSIML1()
        self.output_weights = output_weights
        self.size_multiple = size_multiple
        self.inference = inference
        self.init_from = init_from
        self.name = (title or type(network).__name__) + inference.plus
        self.title = self.name
        self.factors: list[str] = []
        self.one_factor_each = False
        self.restorer()  # refuses settings that the network cannot be used with

    def setup(self, stage: str) -> None:
        """Check that network and data fit."""
        data: RestorationData = self.trainer.datamodule  # type: ignore[attr-defined]
        self.factors, info = list(data.resolved), network_info(self.network)
        self.one_factor_each = data.batches == "one_factor" and len(self.factors) > 1
        self.title = self.name if len(self.factors) == 1 else f"{self.name} (factor unknown)"
        smallest = getattr(self.criterion, "smallest", 1)
        for factor, resolved in data.resolved.items():
            check_images(info, factor, resolved)
            for crop_size in data.crop_sizes(factor) if stage == "fit" else ():
                check_crop(info.size_rule(), smallest, factor, crop_size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `restore apply` needs to know."""
        super().on_save_checkpoint(checkpoint)
        checkpoint |= {FACTORS: self.factors, MULTIPLE: self.size_multiple}

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The weighted sum over the network's outputs."""
        return self._loss(self.outputs_of(self.network, batch["degraded"]), batch["clean"])

    def losses(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the whole batch, and that of each factor's samples, which follow one another."""
        outputs, clean = self.outputs_of(self.network, batch["degraded"]), batch["clean"]
        loss = self._loss(outputs, clean)
        watched = loss.detach()
        if self.one_factor_each:  # the loss depends on the batch's factor, as in MultiBranchTask
            watched = self.running_losses.add(batch["factor"], watched)
        self.log("train/loss", watched, logger=False, batch_size=len(clean))
        if batch["factor"] is not None:
            return loss, {batch["factor"]: loss.detach()}
        names, by_factor = batch["sources"], {}
        with torch.no_grad():
            for factor in dict.fromkeys(names):
                first = names.index(factor)
                own = slice(first, first + names.count(factor))
                by_factor[factor] = self._loss([output[own] for output in outputs], clean[own])
        return loss, by_factor

    def _loss(self, outputs: Sequence[Tensor], clean: Tensor) -> Tensor:
        if outputs[-1].shape != clean.shape:
            raise UserError(
                f"the network's result is {size_of(outputs[-1])}, the clean image {size_of(clean)} (channels x height x"
                " width): its channels, scale or size multiple (model.size_multiple) do not fit the data"
            )
        terms = [
            # Contiguous, as losses of users' own may want to view them.
            weight
            * self.criterion(
                (output if output.dtype == clean.dtype else output.float()).contiguous(),
                _target(output, clean).contiguous(),
            )
            for weight, output in zip(self._weights(len(outputs)), outputs, strict=True)
        ]
        loss = sum(terms[1:], start=terms[0])
        if loss.dim():
            raise UserError(f"model.loss returns a tensor of shape {tuple(loss.shape)}: it must return one number")
        return loss

    def restorer(self) -> Restorer:
        """One pass by the network, whatever an image's factors are."""
        return Restorer.told_nothing(self.network, self.factors, self.inference)

    def _weights(self, outputs: int) -> list[float]:
        if self.output_weights == "equal":
            return [1.0] * outputs
        if self.output_weights == "increasing":
            return stage_weights(outputs)
        if len(self.output_weights) != outputs:
            raise UserError(
                f"model.output_weights has {len(self.output_weights)} numbers, the network {outputs} outputs:"
                f" give {outputs}, or equal or increasing"
            )
        return list(self.output_weights)


class SingleFactorTask(ImageToImageTask):
    """What `ImageToImageTask` was called when it took one factor; configs of then name it."""


def _target(output: Tensor, clean: Tensor) -> Tensor:
    """The clean image at the size of one of several outputs."""
    target = clean
    while target.shape[-1] > output.shape[-1]:
        target = downsample(target)
    if target.shape != output.shape:
        raise UserError(
            f"an output of the network is {size_of(output)}, the clean image {size_of(clean)} (channels x height x"
            " width): outputs before the last may be 1/2, 1/4, ... of its size"
        )
    return target
