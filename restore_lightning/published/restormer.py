"""The released Restormers."""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from torch import Tensor

from restore_lightning.networks import Restormer
from restore_lightning.published.tensor_names import Rule, Weights, counted, rewritten_shapes, rewritten_state, size

FREE = ()
"""What shapes cannot tell: nothing."""
RULES: tuple[Rule, ...] = (
    (r"^unet\.", ""),
    (r"^embed\.", "patch_embed.proj."),
    (r"^skip\.", "skip_conv."),
    (r"^(encoder|decoder)s\.(\d)\.", lambda found: f"{found[1]}_level{int(found[2]) + 1}."),
    (r"^reduces\.(\d)\.", lambda found: f"reduce_chan_level{int(found[1]) + 1}."),
    (r"^downs\.(\d)\.", lambda found: f"down{int(found[1]) + 1}_{int(found[1]) + 2}.body."),
    (r"^ups\.(\d)\.", lambda found: f"up{int(found[1]) + 2}_{int(found[1]) + 1}.body."),
    (r"\.(norm[12])\.", r".\1.body."),
)
"""From our names to theirs."""
STAGES = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
USUAL_HEADS = (1, 2, 4, 8)
USUAL_EXPANSION = 2.66


def arguments(name: str, weights: Weights, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our network."""
    return transformer_arguments(weights) | {"dual_pixel": "skip_conv.weight" in weights}


def transformer_arguments(weights: Weights) -> dict[str, Any]:
    """Those that Restormer and PromptIR share; none for names of another network."""
    if "patch_embed.proj.weight" not in weights:
        return {}
    heads = [
        size(weights, f"{stage}.0.attn.temperature", 0, default=usual)
        for stage, usual in zip(STAGES, USUAL_HEADS, strict=True)
    ]
    return {
        "width": size(weights, "patch_embed.proj.weight", 0, default=48),
        "blocks": [_blocks(weights, stage) for stage in STAGES],
        "refinement": _blocks(weights, "refinement"),
        "heads": heads,
        "expansion": _expansion(weights),
        "bias": any(name.endswith(".qkv.bias") for name in weights),
        "layer_norm": "WithBias" if any(name.endswith(".norm1.body.bias") for name in weights) else "BiasFree",
        "image_channels": size(weights, "output.weight", 0, default=3),
    }


def _blocks(weights: Weights, stage: str) -> int:
    return counted(weights, rf"{stage}\.(\d+)\.attn\.temperature")


def _expansion(weights: Weights) -> float:
    """The roundest factor that gives the hidden channels of all feed-forward networks."""
    pairs = {
        (tensor.shape[0], tensor.shape[1])
        for name, tensor in weights.items()
        if name.endswith("ffn.project_out.weight") and tensor.dim() == 4 and tensor.shape[0]
    }
    least = max((Fraction(hidden, channels) for channels, hidden in pairs), default=Fraction(USUAL_EXPANSION))
    candidates = (ceil(least * 10**digits) / 10**digits for digits in range(16))
    fitting = (factor for factor in candidates if all(int(channels * factor) == hidden for channels, hidden in pairs))
    return next(fitting, USUAL_EXPANSION)


def names(network: Restormer) -> dict[str, tuple[int, ...]]:
    """Every tensor name of the released checkpoint and its shape."""
    return rewritten_shapes(network, RULES)


def translate(network: Restormer, weights: Weights) -> dict[str, Tensor]:
    """The released state dict under our names."""
    return rewritten_state(network, RULES, weights)
