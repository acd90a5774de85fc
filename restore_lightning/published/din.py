"""The released DINs, one per super-resolution factor."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from restore_lightning.networks import DIN
from restore_lightning.published.tensor_names import Weights, numbers, renamed_shapes, renamed_state, size

FREE = ()
"""What shapes cannot tell: nothing."""


def arguments(name: str, weights: Weights, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our network, its quirks included."""
    counts = {
        "D": numbers(weights, "WRDB1_"),
        "B": numbers(weights, "WRDB1_1.RDB"),
        "M": numbers(weights, "WRDB", separator="_"),
    }
    if not 0 < math.prod(counts.values()) <= len(weights):  # names of another network
        counts = {"D": 5, "B": 3, "M": 4}
    return {
        "scale": int(name.rpartition("x")[2]),
        **counts,
        "growth": size(weights, "WRDB1_1.RDB1.conv1.weight", 0, default=32),
        "width": size(weights, "feat_conv.weight", 0, default=64),
        "released": True,
    }


def _modules(network: DIN) -> dict[str, str]:
    modules = {"front.0": "feat_conv", "ends": "conv_out1", "states": "conv_out2"}
    modules |= {f"back.{place}": f"up_recon.UPNet.{place}" for place in range(len(network.back))}
    branch: Any
    for m, branch in enumerate(network.branches):
        for d, block in enumerate(branch):
            ours, theirs = f"branches.{m}.{d}", f"WRDB{m + 1}_{d + 1}"
            modules[f"{ours}.first"] = f"{theirs}.conv0"
            for b in range(len(block.blocks)):
                modules |= {f"{ours}.blocks.{b}.convolutions.{k}": f"{theirs}.RDB{b + 1}.conv{k + 1}" for k in range(6)}
                # conv{i}_{k} is the k-th use of state i.
                modules |= {f"{ours}.weights.{b}.{i}": f"{theirs}.conv{i + 1}_{b - i + 1}" for i in range(b + 1)}
            node = f"nodes.{m}.{d}"
            parts = {"integrate": "conv_init", "squeeze": "conv_dc", "excite": "conv_ic"}
            modules |= {f"{node}.{mine}": f"AsyCA{m + 2}_{d + 1}.{other}" for mine, other in parts.items()}
    return modules


def names(network: DIN) -> dict[str, tuple[int, ...]]:
    """Every tensor name of the released checkpoint and its shape."""
    return renamed_shapes(network, _modules(network))


def translate(network: DIN, weights: Weights) -> dict[str, Tensor]:
    """The released state dict under our names."""
    return renamed_state(network, _modules(network), weights)
