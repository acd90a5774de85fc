"""Step 2 of paper 2: fine-tuning a multi-branch network for recurrent use, with the factor unknown."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from restore_lightning.checkpoints import ORDER
from restore_lightning.data.config import ResolvedFactor, factors_of
from restore_lightning.errors import UserError
from restore_lightning.inference import ORDER as PAPER_ORDER
from restore_lightning.inference import PLAIN, Baseline, Inference, Method, Pass, check_order
from restore_lightning.networks import MBN
from restore_lightning.tasks.base import adam
from restore_lightning.tasks.multi_branch import MultiBranchTask

log = logging.getLogger(__name__)


class RecurrentTask(MultiBranchTask):
    """Fine-tuning to enable recurrent computation (paper 2, section 4.2): R-MBN.

    An image walks all branch pairs in one order, clamped to [0, 1] between passes. The loss is
    `intermediate_weight` times that of the pass that removes the image's factor plus
    `final_weight` times that of the last pass, against the same clean image. A mixed image counts
    as restored after the last of its factors has been removed. Input branches are frozen.

    Args:
        network: The multi-branch network.
        init_from: Checkpoint of step 1 that training starts from; `test` compares with its network,
            told the factor ("told") and walked through the same order ("before").
        order: The recurrent order, a permutation of the network's factors.
        skip: Factors that the walk leaves out on purpose.
        intermediate_weight: Weight of the intermediate loss.
        final_weight: Weight of the final loss.
        recompute: Activation checkpointing; None: on a GPU.
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
        recompute: bool | None = None,
        ssim_weight: float = 1.1,
        l1_weight: float = 0.75,
        scale_weights: list[float] | None = None,
        factor_weights: dict[str, float] = {},  # noqa: B006
        inference: Inference = PLAIN,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_every: int = 1,
        baselines: dict[str, Baseline] | None = None,
        title: str = "R-MBN",
    ) -> None:
        super().__init__(
            network,
            ssim_weight,
            l1_weight,
            scale_weights,
            factor_weights,
            inference,
            optimizer,
            lr_scheduler,
            lr_scheduler_every,
            baselines,
        )
        self.init_from = init_from
        check_order(order, network.factors, skip)
        self.order = list(order)
        self.intermediate_weight = intermediate_weight
        self.final_weight = final_weight
        self.recompute = recompute
        self.titles = {
            "told": f"MBN{inference.plus} (factor told)",
            "before": f"MBN{inference.plus} before step 2",
            "restored": f"{title}{inference.plus} (factor unknown)",
        }
        self._started = False
        network.inputs.requires_grad_(False)

    def passes(self, factor: str) -> Sequence[str]:
        """All of the order, whatever the factor."""
        return self.order

    def possible(self, factor: str, plan: ResolvedFactor) -> Sequence[str]:
        """Each factor that is mixed."""
        return factors_of(factor, plan.degradation)

    def setup(self, stage: str) -> None:
        """Check the data too."""
        super().setup(stage)
        if stage != "fit":
            return
        plans: dict[str, ResolvedFactor] = self.trainer.datamodule.plans  # type: ignore[attr-defined]
        for factor, plan in plans.items():
            left_out = [name for name in self.possible(factor, plan) if name not in self.order]
            if left_out:
                raise UserError(
                    f"data.factors.{factor} has {left_out[0]}, which model.skip leaves out: remove its data"
                )

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
            self.titles = {**self.titles, "restored": f"MBN{self.inference.plus} (factor unknown, not fine-tuned)"}

    def on_train_start(self) -> None:
        """The device is known by now."""
        super().on_train_start()
        self.network.recompute = self.device.type == "cuda" if self.recompute is None else self.recompute

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The weighted sum of intermediate and final loss."""
        image, clean = batch["degraded"], batch["clean"]
        restored_by = [max(self.order.index(name) for name in factors) for factors in batch["factors"]]
        loss = clean.new_zeros(())
        for position, factor in enumerate(self.order):
            outputs = self.network(image, factor)
            members = [i for i, last in enumerate(restored_by) if last == position]
            if members:
                intermediate = self.criterion([output[members] for output in outputs], clean[members])
                loss = loss + self.intermediate_weight * len(members) / len(clean) * intermediate
            image = outputs[-1].clamp(0, 1)
        return loss + self.final_weight * self.criterion(outputs, clean)

    def walk(self, image: Tensor, factors: Sequence[str]) -> list[Pass]:
        """Through all branch pairs; the factors are not looked at."""
        return Method(self.network, self.order, self.inference).walk(image, factors)

    def compared(self) -> dict[str, Method]:
        """The network of step 1, told the factor and walked through the same order, and the baselines."""
        methods: dict[str, Method] = {}
        if self.init_from is not None and Path(self.init_from).expanduser().is_file():
            network = self.start().network
            methods = {
                "told": Method(network, inference=self.inference),
                "before": Method(network, self.order, self.inference),
            }
        elif self.init_from is not None:
            log.warning("model.init_from %s is not there: the tables lack step 1's network", self.init_from)
        return super().compared() | methods

    def compared_checkpoints(self) -> dict[str, str | dict[str, str]]:
        """Step 1's network, twice, and those of the baselines."""
        step_1 = {} if self.init_from is None else dict.fromkeys(("told", "before"), self.init_from)
        return {**super().compared_checkpoints(), **step_1}
