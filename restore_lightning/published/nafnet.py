"""The released NAFNets, and NAFNetLocal: the same tensors, means over windows of 1.5 training crops."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from restore_lightning.networks import NAFNet
from restore_lightning.published.tensor_names import Rule, Weights, counted, rewritten_shapes, rewritten_state, size

FREE = ("train_size",)
"""What shapes cannot tell: of NAFNetLocal, 256 by default."""
RULES: tuple[Rule, ...] = ((r"^middle\.", "middle_blks."),)
"""From our names to theirs."""
MOST_LEVELS = 32
"""No image has a side of 2 ** 32 pixels: names that go on are not ours to build."""


def arguments(name: str, weights: Weights, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our network."""
    found: dict[str, Any] = {}
    if "intro.weight" in weights:
        levels = min(counted(weights, r"downs\.(\d+)\.weight"), MOST_LEVELS)
        found = {
            "width": size(weights, "intro.weight", 0, default=32),
            "encoders": [counted(weights, rf"encoders\.{level}\.(\d+)\.beta") for level in range(levels)],
            "middle": counted(weights, r"middle_blks\.(\d+)\.beta"),
            "decoders": [counted(weights, rf"decoders\.{level}\.(\d+)\.beta") for level in range(levels)],
            "image_channels": size(weights, "intro.weight", 1, default=3),
        }
    if name == "NAFNetLocal":
        return found | {"train_size": hyperparameters.get("train_size", 256)}
    if hyperparameters:
        raise ValueError(
            "train_size is a hyper-parameter of NAFNetLocal: import the checkpoint as that, or leave it out"
        )
    return found


def names(network: NAFNet) -> dict[str, tuple[int, ...]]:
    """Every tensor name of the released checkpoint and its shape."""
    return rewritten_shapes(network, RULES)


def translate(network: NAFNet, weights: Weights) -> dict[str, Tensor]:
    """The released state dict under our names."""
    return rewritten_state(network, RULES, weights)
