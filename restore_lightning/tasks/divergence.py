"""Training that turned NaN ends there, and what was saved before stays."""

import math
from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch import Trainer
from torch import nn

from restore_lightning.checkpoints import not_finite
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.runs.distributed import smallest_on_any_rank
from restore_lightning.runs.folder import CHECKPOINTS
from restore_lightning.tasks.mean_losses import NONE, MeanLosses

LEAST_SCALE = 1e-4
"""Below this scale of losses float16 training has diverged (as fairseq has it): 30 steps in a row were left out."""


def check_losses(trainer: Trainer, losses: MeanLosses, means: Mapping[str, float]) -> None:
    """Refuse to go on after a loss that was not finite; all processes of a run ask at the same place.

    Under 16-mixed such a step is left out and the next one scaled by less: that is no error until it no longer helps.

    Args:
        trainer: Of the run.
        losses: Of this process.
        means: Factor -> mean of these over all processes, as it was read for the log.

    Raises:
        UserError: There was one.
    """
    if all(map(math.isfinite, means.values())):
        return
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is not None and scaler.get_scale() >= LEAST_SCALE:
        return
    first = losses.first_not_finite()
    batch, factor = min(zip(smallest_on_any_rank(list(first.values())), first, strict=True))
    if batch < NONE:  # else their sum alone was too large
        step = batch // trainer.accumulate_grad_batches + 1
        raise _diverged(trainer, f"the loss of {factor} is not finite in step {step} (batch {batch + 1})")


def check_weights(trainer: Trainer, network: nn.Module) -> None:
    """Refuse to save a network that can only make black images.

    Raises:
        UserError: Its weights are not finite.
    """
    names = not_finite(network, network.state_dict())
    (all_finite,) = smallest_on_any_rank([0 if names else 1])
    if not all_finite and not names:
        raise _diverged(trainer, f"another process's network is not finite after step {trainer.global_step}")
    if names:
        what = f"{len(names)} tensors of the network, {shortened_list(names, 2)}, are not finite"
        raise _diverged(trainer, f"{what} after step {trainer.global_step}")


def _diverged(trainer: Trainer, what: str) -> UserError:
    last = Path(trainer.default_root_dir, CHECKPOINTS, "last.ckpt")
    kept = f"{last} was saved before and is kept" if last.is_file() else "nothing was saved before"
    return UserError(
        f"training diverged: {what}; {kept}. Try a lower learning rate, --trainer.gradient_clip_val 1 or"
        " --trainer.precision 32-true",
        exit_code=1,
    )
