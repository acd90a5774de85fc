"""The released PromptIR."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from restore_lightning.networks import PromptIR
from restore_lightning.published import restormer
from restore_lightning.published.tensor_names import Rule, Weights, rewritten_shapes, rewritten_state, size

FREE = ()
"""What shapes cannot tell: nothing."""
PARTS = {
    "components": "prompt{}.prompt_param",
    "weights": "prompt{}.linear_layer",
    "conv": "prompt{}.conv3x3",
    "block": "noise_level{}",
    "reduce": "reduce_noise_level{}",
}
"""Of a prompt: ours -> theirs, numbered from 1."""
RULES: tuple[Rule, ...] = (
    (r"^unet\.prompts\.(\d)\.(\w+)", lambda found: PARTS[found[2]].format(int(found[1]) + 1)),
    *restormer.RULES,
)
"""From our names to theirs."""


def arguments(name: str, weights: Weights, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our network."""
    shared = restormer.transformer_arguments(weights)
    if not shared or "prompt1.prompt_param" not in weights:
        return {}
    prompts = [f"prompt{level}.prompt_param" for level in (1, 2, 3)]
    return shared | {
        "prompts": size(weights, prompts[0], 1, default=5),
        "prompt_channels": [size(weights, name, 2, default=64) for name in prompts],
        "prompt_sizes": [size(weights, name, 3, default=64) for name in prompts],
        "prompt_heads": size(weights, "noise_level1.attn.temperature", 0, default=4),
    }


def names(network: PromptIR) -> dict[str, tuple[int, ...]]:
    """Every tensor name of the released checkpoint and its shape.

    Six convolutions are in every checkpoint and in no computation; `translate` leaves them out.
    """
    width = network.embed.out_channels
    unused = {
        "chnl_reduce1": (64, 64),
        "chnl_reduce2": (128, 128),
        "chnl_reduce3": (256, 320),
        "reduce_noise_channel_1": (width, width + 64),
        "reduce_noise_channel_2": (2 * width, 2 * width + 128),
        "reduce_noise_channel_3": (4 * width, 4 * width + 256),
    }
    shapes = rewritten_shapes(network, RULES) | {f"{name}.weight": (*sides, 1, 1) for name, sides in unused.items()}
    if network.output.bias is not None:
        shapes |= {f"{name}.bias": (outputs,) for name, (outputs, _) in unused.items()}
    return shapes


def translate(network: PromptIR, weights: Weights) -> dict[str, Tensor]:
    """The released state dict under our names."""
    return rewritten_state(network, RULES, weights)
