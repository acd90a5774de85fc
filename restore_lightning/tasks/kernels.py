"""In which kernels a task computes: compiled graphs, the optimiser's fused step."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

Outputs = Callable[..., list[Tensor]]


def compiled(outputs_of: Outputs) -> Outputs:
    """`network_outputs`, which makes a graph of each network, factor and size of images, when it first meets them.

    A graph for any size would be slower. Of a network torch makes 8 graphs and computes the rest without, with a
    warning: the paper's R-MBN needs these 8, four passes in crops of two sizes. Networks stay what they are, and so do
    the names of their tensors.
    """
    made: Outputs = torch.compile(outputs_of, dynamic=False)
    return made


def fuse_step(optimizer: Optimizer) -> None:
    """Let an optimiser step all parameters in one fused kernel where it and the device can, unless it was told how.

    To be called when it has its states: a checkpoint's may be of another device, kernel or layout.

    Args:
        optimizer: Adam, AdamW and SGD fuse on CPUs and CUDA devices, if neither `fused` nor `foreach` says otherwise.
            Any other is left as it is.
    """
    # Not by the constructor's argument, with which Lightning refuses to clip gradients under autocast.
    for group in optimizer.param_groups:
        states = [(parameter, optimizer.state.get(parameter, {})) for parameter in group["params"]]
        if isinstance(optimizer, Adam | AdamW | SGD):
            group["fused"] = _fuses(optimizer, group["params"])
            for parameter, state in states:
                if "step" in state:  # where the kernel looks for it
                    on_device = group["fused"] or group["capturable"]
                    state["step"] = state["step"].to(parameter.device if on_device else "cpu", torch.float32)
        for parameter, state in states:
            state |= {name: _laid_out(value, parameter) for name, value in state.items()}


def _fuses(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> bool | None:
    """What the optimiser was told; else whether all parameters lie where a fused kernel is."""
    told = optimizer.defaults  # as they were given: a checkpoint changes the groups only
    if told["fused"] is not None or told["foreach"] is not None or told["differentiable"]:
        chosen: bool | None = told["fused"]
        return chosen
    # None, not False: elsewhere torch may step many parameters in one kernel.
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters) or None


def _laid_out(value: Any, parameter: nn.Parameter) -> Any:
    """A parameter's state as it lies itself: fused kernels read both from end to end, whatever their strides say."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
