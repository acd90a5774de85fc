"""Methods to compare on the same images: networks with a way of using them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from restore_lightning.checkpoints import load_trained
from restore_lightning.errors import UserError
from restore_lightning.inference.recurrent import check_order, restore_in_order
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


def load_method(baseline: Baseline) -> Method:
    """Read a baseline's checkpoints.

    Raises:
        UserError: A checkpoint that cannot be used, or an order that does not fit.
    """
    network: Any
    if isinstance(baseline.checkpoint, str):
        trained = load_trained(baseline.checkpoint)
        network, order = trained.network, baseline.order or trained.order
    else:
        loaded = {factor: load_trained(path).network for factor, path in baseline.checkpoint.items()}
        for factor, dedicated in loaded.items():
            has = getattr(dedicated, "factors", [])
            if factor not in has:
                raise UserError(
                    f"{baseline.checkpoint[factor]} is named for {factor!r}, its network has {', '.join(has)}"
                )
        network, order = DedicatedNetworks(loaded), baseline.order
    if baseline.order is not None:
        try:
            check_order(baseline.order, network.factors)
        except ValueError as error:
            raise UserError(f"baseline {baseline.checkpoint}: {error}") from error
    return Method(network, order)
