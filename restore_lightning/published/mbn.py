"""The tensor names of the released MBN, in terms of ours."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from restore_lightning.networks import MBN
from restore_lightning.published.tensor_names import Weights, renamed_shapes, renamed_state

SCALES = ("C", "M", "F")  # coarse, middle, fine


FREE = ()
"""What shapes cannot tell: nothing."""


def arguments(name: str, weights: Weights, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our network: the one released architecture, quirks included."""
    return {"released": True}


def _rain_pair() -> Iterator[tuple[str, str]]:
    yield "inputs.rain.conv.0", "rain_head.lstm.comb_conv.conv2d"
    yield "inputs.rain.residual.0", "rain_head.conv1.conv2d"
    yield "inputs.rain.at_half.1.0", "rain_head.conv2.conv2d"
    yield "outputs.rain.body.0.0", "dec_1.up1.upsamp.0.conv2d"
    yield "outputs.rain.body.1.0", "dec_1.conv1.conv2d"
    yield "outputs.rain.last.0", "dec_1.conv2.conv2d"


def _haze_pair() -> Iterator[tuple[str, str]]:
    yield "inputs.haze.at_half.0.0", "haze_head.conv1.conv2d"
    yield "inputs.haze.at_half.1.0", "haze_head.conv2.conv2d"
    yield "inputs.haze.at_quarter.0", "haze_head.conv3.conv2d"
    yield "outputs.haze.body.0.0", "dec_4.up1.upsamp.0.conv2d"
    yield "outputs.haze.body.1.0", "dec_4.conv1.conv2d"
    yield "outputs.haze.body.2.0", "dec_4.up2.upsamp.0.conv2d"
    yield "outputs.haze.body.3.0", "dec_4.conv2.conv2d"
    yield "outputs.haze.last.0", "dec_4.conv3.conv2d"


def _multiscale_pair(factor: str, head: str, tail: str) -> Iterator[tuple[str, str]]:
    for i in (0, 1):
        yield f"inputs.{factor}.full_shared.{i}.0", f"{head}.conv{i + 1}.conv2d"
        yield f"inputs.{factor}.half_shared.{i}.0", f"{head}.conv{i + 3}.conv2d"
        yield f"outputs.{factor}.half_shared.{i}.0", f"{tail}.conv{i + 1}.conv2d"
        yield f"outputs.{factor}.full_shared.{i}.0", f"{tail}.conv{i + 3}.conv2d"
    for i, scale in enumerate(SCALES):
        for level, part in enumerate(("at_full", "at_half", "at_quarter"), start=1):
            yield f"inputs.{factor}.{part}.{i}.0", f"{head}.{scale}_conv{level}.conv2d"
        for level, part in enumerate(("at_half", "at_full"), start=1):
            yield f"outputs.{factor}.{part}.{i}.0.0", f"{tail}.{scale}_upsamp{level}.upsamp.0.conv2d"
            yield f"outputs.{factor}.{part}.{i}.1.0", f"{tail}.{scale}_upconv{level}.conv2d"
        yield f"outputs.{factor}.last.{i}", f"{tail}.{scale}_conv.conv2d"


def _block(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    se = {
        "attention.squeeze": "se.fc.0",
        "attention.excite": "se.fc.2",
        "conv1": "conv1.conv2d",
        "conv2": "conv2.conv2d",
    }
    for mine, other in se.items():
        yield f"{ours}.f.{mine}", f"{theirs}.base.{other}"
        yield f"{ours}.t2.attend.0.{mine}", f"{theirs}.down_atten.0.{other}"
    yield f"{ours}.t1.0.0", f"{theirs}.upsamp_module.upsamp.0.conv2d"
    yield f"{ours}.t1.1", f"{theirs}.up_conv.conv2d"
    yield f"{ours}.t2.down.0", f"{theirs}.down_conv.conv2d"
    yield f"{ours}.t2.attend.1", f"{theirs}.down_atten.1.conv2d"
    yield f"{ours}.t2.merge", f"{theirs}.merge.conv2d"


def _modules() -> Iterator[tuple[str, str]]:
    yield from _rain_pair()
    yield from _haze_pair()
    yield from _multiscale_pair("blur", "blur_head", "dec_2")
    yield from _multiscale_pair("jpeg", "jpeg_head", "dec_3")
    for number in range(1, 9):
        ours = f"stem.{number - 1}" if number <= 5 else f"extra.{number - 6}"
        yield from _block(ours, f"DuRB{number}")


def translate(network: MBN, weights: Weights) -> dict[str, Tensor]:
    """The released state dict under our names.

    The second copy of T2's attention path (`down_se`, `down_seconv`) is never used by the authors'
    network and is left out; `names` still requires it.
    """
    state = renamed_state(network, dict(_modules()), weights)
    for kind in ("weight", "bias"):
        gates = [weights[f"rain_head.lstm.conv_{gate}.0.conv2d.{kind}"] for gate in "ifgo"]
        state[f"inputs.rain.lstm.gates.{kind}"] = torch.cat(gates)
    return state


def names(network: MBN) -> dict[str, tuple[int, ...]]:
    """Every tensor name of the released checkpoint and its shape."""
    shapes = renamed_shapes(network, dict(_modules()))
    for kind, gates in network.inputs["rain"].lstm.gates.state_dict().items():  # type: ignore[union-attr]
        rows, *rest = gates.shape
        shapes |= {f"rain_head.lstm.conv_{gate}.0.conv2d.{kind}": (rows // 4, *rest) for gate in "ifgo"}
    unused = {"down_atten.0": "down_se", "down_atten.1": "down_seconv"}
    for name in list(shapes):
        for used, copy in unused.items():
            if f".{used}." in name:
                shapes[name.replace(used, copy)] = shapes[name]
    return shapes
