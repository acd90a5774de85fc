"""Methods to compare on the same images: networks with a way of using them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from restore_lightning.checkpoints import Trained, load_trained
from restore_lightning.errors import UserError
from restore_lightning.inference.order import order_given, restore_in_order
from restore_lightning.inference.restorer import check_inference, outputs_of, size_rule_of
from restore_lightning.inference.settings import PLAIN, Inference
from restore_lightning.networks import SizeRule


class Pass(NamedTuple):
    """What one pass of a network makes of images.

    Args:
        factor: What it removes.
        image: (B, 3, H, W) after it, in [0, 1].
    """

    factor: str
    image: Tensor


class Method(NamedTuple):
    """A network and the way it is used.

    Args:
        network: With `factors`, `size_rule(factor)` and `(image, factor) -> outputs`.
        order: The order in which factors are removed from any image; None: the image's own factors
            are told, and the one that was applied last is removed first.
        inference: See `restore`.
    """

    network: Any
    order: Sequence[str] | None = None
    inference: Inference = PLAIN

    def walk(self, image: Tensor, factors: Sequence[str]) -> list[Pass]:
        """Restore, pass by pass.

        Args:
            image: (B, 3, H, W) in [0, 1].
            factors: What degrades it, in the order of application.

        Returns:
            What each pass removes and the image after it, clamped to [0, 1]; the last one is the result.
        """
        order = list(reversed(factors)) if self.order is None else list(self.order)
        images = restore_in_order(self.network, image, order, self.inference)
        return [Pass(*removed) for removed in zip(order, images, strict=True)]

    def __call__(self, image: Tensor, factors: Sequence[str]) -> Tensor:
        """The result of `walk`: (B, 3, H, W), clamped to [0, 1]."""
        return self.walk(image, factors)[-1].image


class DedicatedNetworks(nn.Module):
    """A network per factor in the place of one multi-branch network, e.g. as a cascade.

    Args:
        networks: Factor -> a network for it: a single-factor one, or one that has a branch pair for it.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.factors = list(networks)
        self.networks = nn.ModuleList(networks.values())

    def size_rule(self, factor: str) -> SizeRule:
        """Image sizes that a factor's network accepts."""
        return size_rule_of(self._network(factor), factor)

    def forward(self, image: Tensor, factor: str) -> list[Tensor]:
        """What a factor's network makes of (B, C, H, W), the result last."""
        return outputs_of(self._network(factor), image, factor)

    def _network(self, factor: str) -> nn.Module:
        if factor not in self.factors:
            raise ValueError(f"unknown factor {factor!r}: there are networks for {', '.join(self.factors)}")
        return self.networks[self.factors.index(factor)]


@dataclass
class Baseline:
    """What a test compares with.

    Args:
        checkpoint: A checkpoint of `restore fit`, or factor -> checkpoint for dedicated networks.
        order: The order in which factors are removed, e.g. that of a cascade. None: the order the
            checkpoint was fine-tuned in, else the factors of each image are told.
        inference: In tiles, with local statistics, as a self-ensemble (DIN+).
    """

    checkpoint: str | dict[str, str]
    order: list[str] | None = None
    inference: Inference = PLAIN


def load_method(name: str, baseline: Baseline) -> Method:
    """Read a baseline's checkpoints.

    Args:
        name: What it is called, for messages.
        baseline: Its checkpoints and order.

    Raises:
        UserError: A checkpoint that cannot be used, or an order or inference that does not fit.
    """
    network: Any
    if isinstance(baseline.checkpoint, str):
        trained = load_trained(baseline.checkpoint)
        network, own = with_factors(trained), trained.order
    else:
        network, own = _dedicated(name, baseline.checkpoint), None
    try:
        order = own if baseline.order is None else order_given(baseline.order, network.factors, own)
        check_inference(network, network.factors if order is None else order, baseline.inference)
    except ValueError as error:
        raise UserError(f"baseline {name!r}: {error}") from error
    return Method(network, order, baseline.inference)


def _dedicated(name: str, checkpoints: Mapping[str, str]) -> DedicatedNetworks:
    if not checkpoints:
        raise UserError(f"baseline {name!r} names no checkpoint: give FACTOR: CHECKPOINT for each factor")
    networks: dict[str, nn.Module] = {}
    for factor, path in checkpoints.items():
        network: Any = with_factors(load_trained(path))
        if factor not in network.factors:
            raise UserError(
                f"baseline {name!r}: {path} is named for {factor!r}, its network has {', '.join(network.factors)}"
            )
        networks[factor] = network
    return DedicatedNetworks(networks)


def with_factors(trained: Trained) -> nn.Module:
    """A checkpoint's network as multi-branch networks are used: a single-factor one knows its factor."""
    if trained.factor is None:
        return trained.network
    return DedicatedNetworks({trained.factor: trained.network})
