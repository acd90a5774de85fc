"""The six released DuRNs."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from restore_lightning.networks import DuRN
from restore_lightning.networks.dual_residual import BLOCK_DESIGNS
from restore_lightning.networks.durn import PRESETS, PresetName
from restore_lightning.published.tensor_names import Weights, numbers, renamed_shapes, renamed_state, size

FREE = ("dilations",)
"""What shapes cannot tell; where it is not given, the paper's blocks are expected."""
PRESET_OF: dict[str, PresetName] = {
    "DuRN_P": "P",
    "DuRN_P_no_norm": "P-no-norm",
    "DuRN_U": "U",
    "DuRN_US": "US",
    "DuRN_S": "S",
    "DuRN_S_P": "S-P",
}
QUIRKS = ("U", "S-P")
"""Presets whose released networks compute or are used in another way than ours."""
UNUSED = {"DuRN_S_P": {"prelu.weight": (1,)}}
"""In the released checkpoints and counted, but not in any computation."""


def arguments(name: str, weights: Weights, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our network: the preset, what differs from it, and the quirks where there are any."""
    preset = PRESET_OF[name]
    design = PRESETS[preset]
    first = "conv1.weight" if design.strided else "conv1.conv2d.weight"
    found = {
        "image_channels": size(weights, first, 1, default=design.image_channels),
        "width": size(weights, first, 0, default=design.width),
        "blocks": _blocks(name, weights, hyperparameters.get("dilations")),
        "released": preset in QUIRKS,
    }
    usual = {
        "image_channels": design.image_channels,
        "width": design.width,
        "blocks": [list(block) for block in design.blocks],
        "released": False,
    }
    return {"preset": preset} | {key: value for key, value in found.items() if value != usual[key]}


def _blocks(name: str, weights: Weights, dilations: list[int] | None) -> list[list[Any]]:
    """[kind, k1, k2, dilation] of each block, plain so that a checkpoint can keep them."""
    design = PRESETS[PRESET_OF[name]]
    stem = _stem(design.strided)
    if dilations is None:
        dilations = [block.dilation for block in design.blocks]
        places = list(design.blocks)
    else:
        count = numbers(weights, stem)
        if not isinstance(dilations, list | tuple) or len(dilations) != count:
            raise ValueError(f"dilations {dilations}: give one number for each of the checkpoint's {count} blocks")
        places = [design.blocks[-1]] * count
    found = []
    for number, (block, dilation) in enumerate(zip(places, dilations, strict=True), 1):
        theirs = f"{stem}{number}"
        kind = block.kind
        if PRESET_OF[name] == "S-P" and f"{theirs}.conv1.conv2d.weight" in weights:
            kind = "S" if f"{theirs}.se.conv1.weight" in weights else "P"
        k1 = size(weights, f"{theirs}.up_conv.conv2d.weight", -1, default=block.k1)
        k2 = size(weights, f"{theirs}.down_conv.conv2d.weight", -1, default=block.k2)
        found.append([kind, k1, k2, dilation])
    return found


def _stem(strided: bool) -> str:
    return "rud" if strided else "block"


def _modules(network: DuRN) -> dict[str, str]:
    design = PRESETS[network.preset]
    plain = "" if design.strided else ".conv2d"
    modules: dict[str, str] = {}
    for i in range(len(network.front)):
        modules |= {f"front.{i}.0": f"conv{i + 1}{plain}", f"front.{i}.1": f"norm{i + 1}.norm"}
    for i, kind in enumerate(network.kinds):
        ours, theirs = f"blocks.{i}", f"{_stem(design.strided)}{i + 1}"
        modules |= {f"{ours}.{mine}": f"{theirs}.{other}" for mine, other in _block(kind).items()}
    return modules | {f"back.{mine}": other for mine, other in BACKS[design.back].items()}


def _block(kind: str) -> dict[str, str]:
    """Modules of one dual residual block."""
    modules = {"n1": "up_norm.norm", "n2": "down_norm.norm"}
    for i in (1, 2):
        modules |= {f"f.conv{i}": f"conv{i}.conv2d", f"f.norm{i}": f"norm{i}.norm"}
    first = ["conv_pre.conv2d", "norm_pre.norm", ""] if BLOCK_DESIGNS[kind].upsampling else []  # type: ignore[index]
    second = [""] if BLOCK_DESIGNS[kind].attention else []  # type: ignore[index]
    for path, layers in {
        "t1": [*first, "up_conv.conv2d", "up_norm.norm"],
        "t2": [*second, "down_conv.conv2d", "down_norm.norm"],
    }.items():
        modules |= {f"{path}.{place}": layer for place, layer in enumerate(layers)}
    attention = {"attention.squeeze": "se.fc.0", "attention.excite": "se.fc.2"}
    for i in (1, 2):
        attention |= {f"conv{i}": f"conv{i}", f"norm{i}": f"bn{i}"}
    return modules | {f"t2.0.{mine}": f"se.{other}" for mine, other in attention.items()}


BACKS = {
    "flat": {"0": "conv3.conv2d", "1": "norm3.norm", "3": "conv4.conv2d"},
    "pixel shuffle": {
        "0": "upconv1.conv2d",
        "1": "upnorm1.norm",
        "3": "conv4.conv2d",
        "4": "norm4.norm",
        "6": "upconv2.conv2d",
        "7": "upnorm2.norm",
        "9": "conv5.conv2d",
        "10": "norm5.norm",
        "12": "end_conv",
    },
    "transposed": {
        "0.transposed": "deconv1.0",
        "1": "conv4.conv2d",
        "2": "norm4.norm",
        "4.transposed": "deconv2.0",
        "5": "end_conv.conv2d",
    },
}


def names(network: DuRN) -> dict[str, tuple[int, ...]]:
    """Every tensor name of the released checkpoint and its shape."""
    unused = {preset: UNUSED.get(name, {}) for name, preset in PRESET_OF.items()}[network.preset]
    shapes = renamed_shapes(network, _modules(network)) | unused
    if not _instance_norm(network):
        return shapes
    kinds = {".norm.weight": ".norm.scale", ".norm.bias": ".norm.shift"}
    for kind, theirs in kinds.items():
        shapes = {name.removesuffix(kind) + theirs if name.endswith(kind) else name: s for name, s in shapes.items()}
    return shapes


def translate(network: DuRN, weights: Weights) -> dict[str, Tensor]:
    """The released state dict under our names.

    The released instance normalisation adds its scale again where its shift should be.
    """
    theirs = dict(weights)
    if _instance_norm(network):
        for name, scale in weights.items():
            if name.endswith(".norm.scale"):
                stem = name.removesuffix("scale")
                theirs |= {f"{stem}weight": scale, f"{stem}bias": scale.clone()}
    return renamed_state(network, _modules(network), theirs)


def _instance_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.InstanceNorm2d) for module in network.modules())
