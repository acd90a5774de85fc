"""Methods to compare on the same images: networks with a way of using them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from restore_lightning.checkpoints import load_trained
from restore_lightning.errors import UserError
from restore_lightning.inference.recurrent import order_given, restore_in_order
from restore_lightning.networks import SizeRule


class Method(NamedTuple):
    """A network and the way it is used.

    Args:
        network: With `factors`, `size_rule(factor)` and `(image, factor) -> outputs`.
        order: The order in which factors are removed from any image; None: the image's own factors
            are told, and the one that was applied last is removed first.
    """

    network: Any
    order: Sequence[str] | None = None

    def __call__(self, image: Tensor, factors: Sequence[str]) -> Tensor:
        """Restore.

        Args:
            image: (B, 3, H, W) in [0, 1].
            factors: What degrades it, in the order of application.

        Returns:
            (B, 3, H, W), clamped to [0, 1].
        """
        order = list(reversed(factors)) if self.order is None else self.order
        return restore_in_order(self.network, image, order)[-1]


class DedicatedNetworks(nn.Module):
    """A network per factor in the place of one multi-branch network, e.g. as a cascade.

    Args:
        networks: Factor -> a network that has a branch pair for it.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.factors = list(networks)

    def size_rule(self, factor: str) -> SizeRule:
        """Image sizes that a factor's network accepts."""
        if factor not in self.factors:
            raise ValueError(f"unknown factor {factor!r}: there are networks for {', '.join(self.factors)}")
        network: Any = self.networks[factor]
        rule: SizeRule = network.size_rule(factor)
        return rule

    def forward(self, image: Tensor, factor: str) -> list[Tensor]:
        """A factor's network, see `MBN.forward`."""
        outputs: list[Tensor] = self.networks[factor](image, factor)
        return outputs


@dataclass
class Baseline:
    """What a test compares with.

    Args:
        checkpoint: A checkpoint of `restore fit`, or factor -> checkpoint for dedicated networks.
        order: The order in which factors are removed, e.g. that of a cascade. None: the order the
            checkpoint was fine-tuned in, else the factors of each image are told.
    """

    checkpoint: str | dict[str, str]
    order: list[str] | None = None


def load_method(name: str, baseline: Baseline) -> Method:
    """Read a baseline's checkpoints.

    Args:
        name: What it is called, for messages.
        baseline: Its checkpoints and order.

    Raises:
        UserError: A checkpoint that cannot be used, or an order that does not fit.
    """
    network: Any
    if isinstance(baseline.checkpoint, str):
        network, own, _ = load_trained(baseline.checkpoint)
    else:
        network, own = _dedicated(name, baseline.checkpoint), None
    if baseline.order is None:
        return Method(network, own)
    try:
        return Method(network, order_given(baseline.order, network.factors, own))
    except ValueError as error:
        raise UserError(f"baseline {name!r}: {error}") from error


def _dedicated(name: str, checkpoints: Mapping[str, str]) -> DedicatedNetworks:
    if not checkpoints:
        raise UserError(f"baseline {name!r} names no checkpoint: give FACTOR: CHECKPOINT for each factor")
    networks = {factor: load_trained(path).network for factor, path in checkpoints.items()}
    for factor, network in networks.items():
        has = getattr(network, "factors", [])
        if factor not in has:
            raise UserError(
                f"baseline {name!r}: {checkpoints[factor]} is named for {factor!r}, its network has {', '.join(has)}"
            )
    return DedicatedNetworks(networks)
