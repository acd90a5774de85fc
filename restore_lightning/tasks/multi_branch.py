"""Step 1 of paper 2: a multi-branch network, one branch pair per minibatch."""

import logging
import math
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from restore_lightning.errors import UserError
from restore_lightning.inference import restore
from restore_lightning.losses import multiscale_ssim_l1
from restore_lightning.networks import MBN
from restore_lightning.tasks.base import RestorationTask, adam

log = logging.getLogger(__name__)

SMOOTHING = 0.02
"""Weight of a new minibatch in the running mean of its factor's loss."""


SMALLEST_CROP = 6
"""Pixels that the loss needs: SSIM's window is padded by 5 pixels of reflection."""


class MultiBranchTask(RestorationTask):
    """Joint training of forward paths (paper 2, section 4.1).

    Each minibatch has one factor and trains that factor's path: input branch, stem, the blocks
    up to its level, output branch. The loss is `ssim_weight * (-SSIM) + l1_weight * L1`, summed
    over the scales of multi-scale branches.

    Args:
        network: The multi-branch network.
        ssim_weight: Weight of the negative SSIM.
        l1_weight: Weight of the mean absolute error.
        scale_weights: Weights of a multi-scale branch's outputs, coarsest first; None: all 1.
        optimizer: Makes the optimiser; default Adam with paper 2's values.
        lr_scheduler: Makes the learning-rate schedule; None: constant.
        lr_scheduler_every: Optimiser steps between two steps of the schedule.
    """

    network: MBN

    def __init__(
        self,
        network: MBN,
        ssim_weight: float = 1.1,
        l1_weight: float = 0.75,
        scale_weights: list[float] | None = None,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_every: int = 1,
    ) -> None:
        super().__init__(network, optimizer, lr_scheduler, lr_scheduler_every)
        if (
            scale_weights is not None
            and "multiscale" in network.pairs.values()
            and len(scale_weights) != network.scales
        ):
            raise ValueError(f"scale_weights has {len(scale_weights)} numbers, the network has {network.scales} scales")
        self.ssim_weight = ssim_weight
        self.l1_weight = l1_weight
        self.scale_weights = scale_weights
        self.running_loss: Tensor
        self.register_buffer("running_loss", torch.full((len(network.factors),), math.nan))

    def setup(self, stage: str) -> None:
        """Check that network and data speak of the same factors and sizes."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        check_factors(self.network, {factor: plan.crop_size for factor, plan in data.plans.items()}, stage)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The loss of one factor's minibatch; keeps the running means behind `train/loss`."""
        outputs = self.network(batch["degraded"], batch["factor"])
        loss = multiscale_ssim_l1(outputs, batch["clean"], self.scale_weights, self.ssim_weight, self.l1_weight)
        self._keep_running(batch["factor"], loss.detach())
        return loss

    def restore(self, image: Tensor, factor: str) -> Tensor:
        """Through the factor's branch pair."""
        return restore(self.network, image, factor)

    def _keep_running(self, factor: str, loss: Tensor) -> None:
        index = self.network.factors.index(factor)
        last = self.running_loss[index]
        self.running_loss[index] = torch.where(last.isnan(), loss, last + SMOOTHING * (loss - last))
        self.log("train/loss", self.running_loss.nanmean(), logger=False, sync_dist=True)


def check_factors(network: MBN, crops: dict[str, int], stage: str) -> None:
    """Refuse data that the network cannot take.

    Args:
        network: The network.
        crops: Factor of the data -> side of its training crops (pixels).
        stage: Crops matter for "fit" only.

    Raises:
        UserError: A factor that the network lacks, or crops of a size that it does not accept.
    """
    for factor, crop in crops.items():
        if factor not in network.factors:
            raise UserError(
                f"data.factors names {factor!r}, the network's hierarchy [{', '.join(network.factors)}] misses it:"
                " add it to the hierarchy or remove its data"
            )
        rule = network.size_rule(factor)
        usable = rule.padded(max(crop, SMALLEST_CROP))
        if stage == "fit" and usable != crop:
            raise UserError(
                f"crop_size {crop} of factor {factor!r}: the network takes multiples of {rule.multiple} from"
                f" {max(rule.minimum, SMALLEST_CROP)} on; the next is {usable}"
            )
    idle = [factor for factor in network.factors if factor not in crops]
    if idle and stage == "fit":
        log.warning("the network's factors %s have no data and are not trained", ", ".join(idle))
