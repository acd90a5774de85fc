"""Schedules of the learning rate that configs may name."""

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from restore_lightning.errors import UserError


class WarmupCosine(LRScheduler):
    """A linear rise from 0, a constant part and half a cosine; each part may be missing.

    A step is an optimiser step, or `lr_scheduler_every` of them: an epoch where papers step once per epoch. With
    t = step - delay, or 0 before, the rate is

    - `peak * t / (warmup - 1)` while t is below `warmup`: the peak is reached in the last of these steps;
    - the peak, which is the optimiser's own rate, for `constant` steps more;
    - `minimum + (peak - minimum) * (1 + cos(pi * x)) / 2` with x from 0 to 1 from there to `end`, then the minimum.

    PromptIR and AdaIR, stepped once per epoch: warmup 15, delay 1, end 150 and 180 (training stops before). MoCE-IR:
    the same without delay. Restormer: constant 92000, end 300000, minimum 1e-6. NAFNet: end 200000, minimum 1e-7.

    Args:
        optimizer: Whose learning rate is scheduled; its own is the peak.
        end: Step at which the minimum is reached.
        warmup: Steps of the rise; 0 and 1: none.
        constant: Steps at the peak after it.
        minimum: The rate at the end.
        delay: Steps before all that, with its first rate.
        last_epoch: The step to begin after; -1: at the start.

    Raises:
        UserError: Steps below 0, a minimum below 0 or above a peak, or an end that comes before the cosine.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        end: int,
        warmup: int = 0,
        constant: int = 0,
        minimum: float = 0.0,
        delay: int = 0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("warmup", warmup), ("constant", constant), ("minimum", minimum), ("delay", delay)):
            if value < 0:
                raise UserError(f"WarmupCosine.{name} {value}: give at least 0")
        if end <= warmup + constant:
            raise UserError(
                f"WarmupCosine.end {end}: give more than warmup and constant together ({warmup + constant}), the cosine"
                " lies between"
            )
        peak = min(group["lr"] for group in optimizer.param_groups)
        if last_epoch == -1 and minimum > peak:
            raise UserError(f"WarmupCosine.minimum {minimum}: give at most the optimiser's rate {peak}")
        self.end = end
        self.warmup = warmup
        self.constant = constant
        self.minimum = minimum
        self.delay = delay
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group of parameters in the present step."""
        return [self._rate(peak) for peak in self.base_lrs]

    def _rate(self, peak: float | Tensor) -> float | Tensor:
        step, held = max(self.last_epoch - self.delay, 0), self.warmup + self.constant
        if step < self.warmup:
            return peak * step / (self.warmup - 1) if self.warmup > 1 else peak
        if step < held:
            return peak
        part = min((step - held) / (self.end - held), 1.0)
        return self.minimum + (peak - self.minimum) * (1 + math.cos(math.pi * part)) / 2
