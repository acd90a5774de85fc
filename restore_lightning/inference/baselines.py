"""What a test compares with: trained networks and the way they are used."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from restore_lightning.errors import UserError
from restore_lightning.inference.recurrent_order import order_given
from restore_lightning.inference.restorer import Restorer
from restore_lightning.inference.settings import DEFAULT, InferenceSettings
from restore_lightning.weights import find_weights

Origin = str | dict[str, str]
"""A checkpoint, or factor -> checkpoint for dedicated networks; each as `find_weights` takes them."""


@dataclass
class Baseline:
    """What a test compares with.

    Args:
        checkpoint: A checkpoint of `restore fit`, or factor -> checkpoint for dedicated networks.
        order: The order in which factors are removed, e.g. that of a cascade. None: the order the
            checkpoint was fine-tuned in, else the factors of each image are told.
        inference: In tiles, with local statistics, as a self-ensemble (DIN+).
    """

    checkpoint: Origin
    order: list[str] | None = None
    inference: InferenceSettings = DEFAULT


class Compared(NamedTuple):
    """A baseline that has been read.

    Args:
        restorer: Its networks and the way they are used.
        title: What tables call it.
        origin: Where its networks come from.
    """

    restorer: Restorer
    title: str
    origin: Origin


def read_baseline(name: str, baseline: Baseline) -> Compared:
    """Read a baseline's checkpoints.

    Args:
        name: What it is called, in tables and messages.
        baseline: Its checkpoints and order.

    Raises:
        UserError: A checkpoint that cannot be used, or an order or inference that does not fit.
    """
    try:
        origin = _exact(baseline.checkpoint)
        restorer = Restorer.from_checkpoint(origin)
        order = restorer.order
        if baseline.order is not None:
            order = order_given(baseline.order, restorer.factors, restorer.order)
        restorer = replace(restorer, order=order, settings=baseline.inference)
    except ValueError as error:
        raise UserError(f"baseline {name!r}: {error}") from error
    return Compared(restorer, name, origin)


def _exact(origin: Origin) -> Origin:
    """What names exactly the weights: on the hub, with their commit."""
    if isinstance(origin, str):
        return find_weights(origin).name
    return {factor: find_weights(one).name for factor, one in origin.items()}
