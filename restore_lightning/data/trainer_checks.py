"""Settings of the Trainer that do not go with the schedule."""

from typing import Any

from lightning.pytorch import Trainer

from restore_lightning.errors import UserError


def check_steps(trainer: Trainer) -> None:
    """Refuse settings of the Trainer that cannot train, or would cut the schedule elsewhere than between its steps."""
    if trainer.precision == "16-true":
        raise UserError(
            "trainer.precision 16-true: squares of gradients vanish in float16, and with them Adam's steps: give"
            " 16-mixed, bf16-mixed, bf16-true, 32-true or 64-true"
        )
    if trainer.max_steps < 1:
        raise UserError("the schedule counts optimiser steps: give --trainer.max_steps")
    cut: Any = (trainer.limit_train_batches, trainer.overfit_batches)  # type: ignore[attr-defined]
    if cut != (1.0, 0.0):
        raise UserError("the schedule is not cut into epochs: give --trainer.max_steps, no limit_train_batches")
    accumulate, interval = trainer.accumulate_grad_batches, trainer.val_check_interval
    if trainer.limit_val_batches and isinstance(interval, int) and interval % accumulate:
        raise UserError(
            f"trainer.val_check_interval {interval} counts batches, and {accumulate} make a step"
            f" (accumulate_grad_batches): give a multiple of {accumulate}"
        )
