"""Step 2 of paper 2: fine-tuning a multi-branch network for recurrent use, with the factor unknown."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from restore_lightning.checkpoint_files import ORDER
from restore_lightning.checkpoints import read_initial_checkpoint
from restore_lightning.data.config import ResolvedFactor, factors_of
from restore_lightning.errors import UserError
from restore_lightning.inference import (
    DEFAULT,
    PAPER_ORDER,
    Baseline,
    Compared,
    InferenceSettings,
    Restorer,
    check_order,
)
from restore_lightning.networks import MBN
from restore_lightning.tasks.base import adam
from restore_lightning.tasks.multi_branch import MultiBranchTask
from restore_lightning.weights import find_weights

log = logging.getLogger(__name__)


class RecurrentTask(MultiBranchTask):
    """Fine-tuning to enable recurrent computation (paper 2, section 4.2): R-MBN.

    An image passes all branch pairs in one order, clamped to [0, 1] between passes. The loss is
    `intermediate_weight` times that of the pass that removes the image's factor plus
    `final_weight` times that of the last pass, against the same clean image. A mixed image counts
    as restored after the last of its factors has been removed. Input branches are frozen.

    Args:
        network: The multi-branch network.
        init_from: Checkpoint of step 1 that training starts from; `test` compares with its network,
            told the factor ("told") and used in the same order ("before").
        order: The recurrent order, a permutation of the network's factors.
        skip: Factors that the order leaves out on purpose.
        intermediate_weight: Weight of the intermediate loss.
        final_weight: Weight of the final loss.
        activation_checkpointing: Compute each step of a pass again for the backward pass instead of keeping it;
            None: on a GPU.
        ssim_weight: Weight of the negative SSIM.
        l1_weight: Weight of the mean absolute error.
        scale_weights: Weights of a multi-scale branch's outputs, coarsest first; None: all 1.
        factor_weights: Weight of a factor's loss by the factor's name in the data, 1 where none is given.
        inference: How images are restored to be scored, those of step 1's network too: in tiles, with local
            statistics, as a self-ensemble.
        optimizer: Makes the optimiser; default Adam with paper 2's values.
        lr_scheduler: Makes the learning-rate schedule; None: constant.
        lr_scheduler_every: Optimiser steps between two steps of the schedule.
        baselines: What `test` compares with, by the name in its tables.
        title: The network's name in tables.
        recompute: The same as `activation_checkpointing`, which counts where both are given.
        compile: Let `torch.compile` make kernels for the network's training steps.

    Raises:
        ValueError: An order with unknown, repeated or missing factors.
    """

    order: list[str]

    def __init__(
        self,
        network: MBN,
        init_from: str | None = None,
        order: list[str] = list(PAPER_ORDER),  # noqa: B006  (never changed)
        skip: list[str] = [],  # noqa: B006
        intermediate_weight: float = 0.8,
        final_weight: float = 0.2,
        activation_checkpointing: bool | None = None,
        ssim_weight: float = 1.1,
        l1_weight: float = 0.75,
        scale_weights: list[float] | None = None,
        factor_weights: dict[str, float] = {},  # noqa: B006
        inference: InferenceSettings = DEFAULT,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_every: int = 1,
        baselines: dict[str, Baseline] | None = None,
        title: str = "R-MBN",
        recompute: bool | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(
            network,
            ssim_weight,
            l1_weight,
            scale_weights,
            factor_weights,
            init_from,
            [],
            inference,
            optimizer,
            lr_scheduler,
            lr_scheduler_every,
            baselines,
            recompute if activation_checkpointing is None else activation_checkpointing,
            compile,
        )
        check_order(order, network.info.factors, skip)
        self.order = list(order)
        self.intermediate_weight = intermediate_weight
        self.final_weight = final_weight
        self.title = f"{title}{inference.plus} (factor unknown)"
        self._started = False
        network.inputs.requires_grad_(False)

    def passes(self, factor: str) -> Sequence[str]:
        """All of the order, whatever the factor."""
        return self.order

    def possible(self, factor: str, resolved: ResolvedFactor) -> Sequence[str]:
        """Each factor that is mixed."""
        return factors_of(factor, resolved.degradation)

    def on_fit_start(self) -> None:
        """Start from `init_from`, unless that was done or a checkpoint of this task has been loaded."""
        if not self._started:
            self.load_initial_weights()

    def load_initial_weights(self) -> None:
        """Take the weights of `init_from`."""
        if self.init_from is None:
            raise UserError(
                "recurrent fine-tuning starts from a trained multi-branch network:"
                " give --model.init_from CHECKPOINT (from restore fit --config mbn.yaml)"
            )
        super().load_initial_weights()
        self._started = True

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Start from its weights; say in tables when they are not fine-tuned."""
        super().on_load_checkpoint(checkpoint)
        self._started = True
        if checkpoint.get(ORDER) is None:
            self.title = f"MBN{self.inference.plus} (factor unknown, not fine-tuned)"

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The weighted sum of intermediate and final loss."""
        image, clean = batch["degraded"], batch["clean"]
        restored_by = [max(self.order.index(name) for name in factors) for factors in batch["factors"]]
        loss = clean.new_zeros(())
        for position, factor in enumerate(self.order):
            outputs = self.outputs_of(self.network, image, factor)
            members = [i for i, last in enumerate(restored_by) if last == position]
            if members:
                intermediate = self.criterion([_chosen(output, members) for output in outputs], _chosen(clean, members))
                loss = loss + self.intermediate_weight * len(members) / len(clean) * intermediate
            image = outputs[-1].clamp(0, 1)
        return loss + self.final_weight * self.criterion(outputs, clean)

    def compared(self) -> dict[str, Compared]:
        """The network of step 1, told the factor and in the same order, and the baselines."""
        if self.init_from is None:
            return super().compared()
        try:
            origin = find_weights(self.init_from, "model.init_from").name
        except UserError as error:
            log.warning("%s: the tables lack step 1's network", error)
            return super().compared()
        trained = read_initial_checkpoint(origin, self.network, self.network_spec)
        name = f"MBN{self.inference.plus}"
        told, before = (Restorer(trained.networks, order, self.inference) for order in (None, self.order))
        return super().compared() | {
            "told": Compared(told, f"{name} (factor told)", origin),
            "before": Compared(before, f"{name} before step 2", origin),
        }


def _chosen(images: Tensor, members: Sequence[int]) -> Tensor:
    """Some images of a batch; a list as an index would make the host wait for the device."""
    return images if len(members) == len(images) else torch.stack([images[i] for i in members])
