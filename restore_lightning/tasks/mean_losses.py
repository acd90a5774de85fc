"""Mean losses of the factors, kept where they are computed until somebody looks at them."""

from typing import Any

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor


class MeanLosses:
    """Each factor's mean loss since the last row of the log.

    Adding neither waits for the device nor for other processes; the schedule is the same on all of them.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, factor: str, loss: Tensor) -> None:
        """Add the loss () of a minibatch."""
        self._sums[factor] = self._sums[factor] + loss if factor in self._sums else loss
        self._counts[factor] = self._counts.get(factor, 0) + 1

    def of_all_processes(self, strategy: Strategy) -> dict[str, float]:
        """Factor -> mean loss over its minibatches and all processes; these must ask at the same place."""
        sums = mean_over_processes(self._sums, strategy)
        return {factor: total / self._counts[factor] for factor, total in sums.items()}


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
