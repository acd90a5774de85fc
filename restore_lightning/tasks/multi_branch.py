"""Step 1 of paper 2: a multi-branch network, one branch pair per minibatch."""

import logging
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from restore_lightning.checkpoint_files import ORDER
from restore_lightning.checkpoints import read_initial_checkpoint
from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.module import RestorationData
from restore_lightning.errors import UserError, did_you_mean
from restore_lightning.inference import DEFAULT, Baseline, InferenceSettings, Restorer
from restore_lightning.losses import SMALLEST, multiscale_ssim_l1
from restore_lightning.networks import MBN
from restore_lightning.tasks.base import RestorationTask, adam
from restore_lightning.tasks.data_checks import check_crop, check_factor, check_images, check_passes

log = logging.getLogger(__name__)


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
        factor_weights: Weight of a factor's loss by the factor's name in the data, 1 where none is given. Adam divides
            by the size of the gradients, so that they tell in the stem and the blocks, which all factors train.
        init_from: A checkpoint whose weights training starts from; None: fresh weights.
        fresh_branches: Factors whose pairs of branches start with fresh weights all the same: factors that
            `init_from`'s network lacks, or has with pairs of another kind.
        inference: How images are restored to be scored: in tiles, with local statistics, as a self-ensemble.
        optimizer: Makes the optimiser; default Adam with paper 2's values.
        lr_scheduler: Makes the learning-rate schedule; None: constant.
        lr_scheduler_every: Optimiser steps between two steps of the schedule.
        baselines: What `test` compares with, by the name in its tables.
        activation_checkpointing: Compute each step of a pass (an iteration, a scale) again for the backward pass
            instead of keeping it: less memory for a third more work. None: no; where a batch does not fit, say true.
        compile: Let `torch.compile` make kernels for the network's training steps.
    """

    network: MBN
    idle_branches = True

    def __init__(
        self,
        network: MBN,
        ssim_weight: float = 1.1,
        l1_weight: float = 0.75,
        scale_weights: list[float] | None = None,
        factor_weights: dict[str, float] = {},  # noqa: B006  (never changed)
        init_from: str | None = None,
        fresh_branches: list[str] = [],  # noqa: B006
        inference: InferenceSettings = DEFAULT,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_every: int = 1,
        baselines: dict[str, Baseline] | None = None,
        activation_checkpointing: bool | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(network, optimizer, lr_scheduler, lr_scheduler_every, baselines, compile)
        if (
            scale_weights is not None
            and "multiscale" in network.pairs.values()
            and len(scale_weights) != network.scales
        ):
            raise ValueError(f"scale_weights has {len(scale_weights)} numbers, the network has {network.scales} scales")
        for factor, weight in factor_weights.items():
            if not weight > 0:
                raise ValueError(f"factor_weights: {factor} has {weight}: more than 0, or leave the factor's data out")
        if fresh_branches and init_from is None:
            raise ValueError("fresh_branches: without init_from all of the network is fresh; leave them out")
        for factor in fresh_branches:
            network.info.known(factor)
        self.init_from = init_from
        self.fresh_branches = list(fresh_branches)
        self.inference = inference
        self.title = f"MBN{inference.plus} (factor told)"
        self.restorer()  # refuses settings that the network cannot be used with
        self.ssim_weight = ssim_weight
        self.l1_weight = l1_weight
        self.scale_weights = scale_weights
        self.factor_weights = dict(factor_weights)
        self.activation_checkpointing = activation_checkpointing

    def load_initial_weights(self) -> None:
        """Take the weights of `init_from` but for `fresh_branches`; refusals come before anything is written."""
        if self.init_from is None or not self.fresh_branches:
            super().load_initial_weights()
            return
        fresh = tuple(f"{side}.{factor}." for side in ("inputs", "outputs") for factor in self.fresh_branches)
        trained: Any = read_initial_checkpoint(
            self.init_from, self.network, self.network_spec, fresh, but_for=("hierarchy", "pairs")
        ).network
        for factor, level in trained.levels.items():
            if factor not in self.fresh_branches and level != self.network.levels[factor]:
                raise UserError(
                    f"model.init_from {self.init_from}: {factor} leaves the trunk at level {level} there, here at"
                    f" {self.network.levels[factor]}; keep its place in model.network.hierarchy or name it in"
                    " model.fresh_branches"
                )
        kept = {name: value for name, value in trained.state_dict().items() if not name.startswith(fresh)}
        self.network.load_state_dict(kept, strict=False)
        log.info("starting from %s, the branches of %s anew", self.init_from, ", ".join(self.fresh_branches))

    def passes(self, factor: str) -> Sequence[str]:
        """The branch pairs that a minibatch of a factor's data goes through, in order."""
        return [factor]

    def possible(self, factor: str, resolved: ResolvedFactor) -> Sequence[str]:
        """The network's factors that a factor's data are about."""
        return [factor]

    def setup(self, stage: str) -> None:
        """Check that network and data speak of the same factors and sizes."""
        data: RestorationData = self.trainer.datamodule  # type: ignore[attr-defined]
        if data.batches == "mixed" and stage == "fit":
            raise UserError(
                "data.batches mixed: a network with branches takes one factor in each batch; give --data.batches"
                " one_factor and each factor's minibatches, or a network without branches (ImageToImageTask)"
            )
        factors = data.resolved
        info, trained = self.network.info, set[str]()
        for factor, resolved in factors.items():
            possible, passes = self.possible(factor, resolved), self.passes(factor)
            trained.update(possible)
            for name in possible:
                check_factor(info, name)
            check_images(info, factor, resolved)
            if stage == "fit":
                check_passes(passes, factor, possible)
                for name in passes:
                    through = "" if name == factor else f" in the pass that removes {name}"
                    for crop_size in data.crop_sizes(factor):
                        check_crop(info.size_rule(name), SMALLEST, factor, crop_size, through)
        unknown = [factor for factor in self.factor_weights if factor not in factors]
        if unknown:
            near = did_you_mean(unknown[0], [factor for factor in factors if factor not in self.factor_weights])
            raise UserError(
                f"model.factor_weights names {', '.join(unknown)}, the data have {', '.join(factors)}: name one of"
                f" these{near}"
            )
        idle = [factor for factor in info.factors if factor not in trained]
        if idle and stage == "fit":
            log.warning("the network's factors %s have no data and are not trained", ", ".join(idle))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say by the title what the checkpoint is of."""
        super().on_load_checkpoint(checkpoint)
        if self.order is None and checkpoint.get(ORDER) is not None:
            self.title = f"R-MBN{self.inference.plus} (factor told)"

    def on_train_start(self) -> None:
        """The device is known by now."""
        super().on_train_start()
        chosen = self.activation_checkpointing
        by_default = self.order is not None and self.device.type == "cuda"  # the graph of a pass for each factor
        self.network.activation_checkpointing = by_default if chosen is None else chosen

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One minibatch; keeps each factor's running mean, whose mean over factors is `train/loss`.

        Losses are logged without `factor_weights`, so that runs with different ones can be compared.
        """
        loss = super().training_step(batch, batch_idx)
        self.log("train/loss", self.running_losses.add(batch["factor"], loss.detach()), logger=False)
        return self.factor_weights.get(batch["factor"], 1.0) * loss

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The loss of one factor's minibatch."""
        return self.criterion(self.outputs_of(self.network, batch["degraded"], batch["factor"]), batch["clean"])

    def criterion(self, outputs: Sequence[Tensor], clean: Tensor) -> Tensor:
        """The loss of one branch pair's outputs, coarsest first."""
        return multiscale_ssim_l1(outputs, clean, self.scale_weights, self.ssim_weight, self.l1_weight)

    def restorer(self) -> Restorer:
        """Through the branch pairs of an image's factors; in the recurrent order where there is one."""
        return Restorer(dict.fromkeys(self.network.info.factors, self.network), self.order, self.inference)
