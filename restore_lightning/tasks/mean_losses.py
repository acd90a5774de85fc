"""Mean losses of the factors, kept where they are computed until somebody looks at them."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor

NONE = 2**62
"""Above every number of a minibatch."""
SMOOTHING = 0.02
"""Weight of a new minibatch in the running mean of its factor's loss."""


class MeanLosses:
    """Each factor's mean loss since the last row of the log.

    Adding neither waits for the device nor for other processes, whose batches may have other factors.

    Args:
        factors: All that there may be, in the same order on all processes.
    """

    def __init__(self, factors: Iterable[str] = ()) -> None:
        self._factors = list(factors)
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._diverged: dict[str, Tensor] = {}

    def add(self, factor: str, loss: Tensor, batch: int, samples: int = 1) -> None:
        """Add the loss () of a minibatch, and note on its device whether it is the first one that is not finite.

        Args:
            factor: Of the minibatch.
            loss: Of the minibatch.
            batch: Its number.
            samples: How much it counts.
        """
        loss = loss.to(torch.promote_types(loss.dtype, torch.float32))
        total = loss if samples == 1 else samples * loss
        self._sums[factor] = self._sums[factor] + total if factor in self._sums else total
        self._counts[factor] = self._counts.get(factor, 0) + samples
        first = self._diverged.get(factor)
        if first is None:
            first = torch.full_like(loss, NONE, dtype=torch.int64)
        self._diverged[factor] = torch.where(loss.isfinite(), first, first.clamp(max=batch))

    def first_not_finite(self) -> dict[str, int]:
        """Factor -> number of its first minibatch here whose loss was not finite; `NONE` where all were."""
        if not self._diverged:
            return {}
        found = dict(zip(self._diverged, torch.stack(list(self._diverged.values())).tolist(), strict=True))
        return {factor: found.get(factor, NONE) for factor in self._names()}

    def of_all_processes(self, strategy: Strategy) -> dict[str, float]:
        """Factor -> mean loss over its minibatches and all processes; these must ask at the same place."""
        if not self._sums:
            return {}
        zero, names = torch.zeros_like(next(iter(self._sums.values()))), self._names()
        sums = {name: self._sums.get(name, zero) for name in names}
        counts = {f"{name} count": zero + self._counts.get(name, 0) for name in names}
        means = mean_over_processes(sums | counts, strategy)
        return {name: means[name] / means[f"{name} count"] for name in names if means[f"{name} count"]}

    def _names(self) -> list[str]:
        return list(dict.fromkeys((*self._factors, *self._sums)))


class RunningLosses:
    """The running mean of each factor's loss, for schedules that watch `train/loss`.

    Args:
        means: Factor -> where it goes on from.
        kind: Of these numbers.
        device: Of these numbers.
    """

    def __init__(
        self,
        means: Mapping[str, float] = {},
        kind: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.means = {factor: torch.tensor(mean, dtype=kind, device=device) for factor, mean in means.items()}

    def add(self, factor: str, loss: Tensor) -> Tensor:
        """Add the loss () of a minibatch; the mean over the factors that there were so far.

        A loss that is not finite, whose step a scaler leaves out, does not count.
        """
        last = self.means.get(factor)
        if last is not None:
            moved = torch.where(loss.isfinite(), last + SMOOTHING * (loss - last), last)
            loss = torch.where(last.isfinite(), moved, loss)
        self.means[factor] = loss
        return torch.stack(list(self.means.values())).mean()

    def of_all_processes(self, strategy: Strategy) -> dict[str, float]:
        """Factor -> mean over all processes; these must ask at the same place, and have the same factors."""
        return mean_over_processes(self.means, strategy)


def mean_over_processes(values: dict[str, Tensor], strategy: Strategy) -> dict[str, float]:
    """Name -> mean over all processes of a number () that each of them has; read from the device once.

    Args:
        values: The same names on each process.
        strategy: Of the run.
    """
    if not values:
        return {}
    reduced: Any = strategy.reduce(torch.stack(list(values.values())), reduce_op="mean")
    return dict(zip(values, reduced.tolist(), strict=True))
