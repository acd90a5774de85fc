"""The released DRN."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from restore_lightning.networks import DRN
from restore_lightning.published.tensor_names import Weights, renamed_shapes, renamed_state, size

FREE = ("T", "R")
"""What shapes cannot tell."""


def arguments(name: str, weights: Weights, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our network."""
    resblocks = 2 if any(key.startswith("res_conv2.") for key in weights) or not weights else 1
    return {"resblocks": resblocks, "width": size(weights, "conv0.0.weight", 0, default=16), **hyperparameters}


def _modules(network: DRN) -> dict[str, str]:
    modules = {"read": "conv0.0", "write": "conv.0"}
    for block in range(len(network.resblocks)):
        modules |= {f"resblocks.{block}.{i}": f"res_conv{block + 1}.{2 * i}" for i in (0, 1)}
    return modules


def names(network: DRN) -> dict[str, tuple[int, ...]]:
    """Every tensor name of the released checkpoint and its shape."""
    return renamed_shapes(network, _modules(network))


def translate(network: DRN, weights: Weights) -> dict[str, Tensor]:
    """The released state dict under our names."""
    return renamed_state(network, _modules(network), weights)
