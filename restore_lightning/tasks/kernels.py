"""In which kernels a task computes: the layout of its network in memory, compiled graphs, the optimiser's step."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

Outputs = Callable[..., list[Tensor]]


def to_channels_last(network: nn.Module) -> None:
    """Lay a network's 2-D convolutions out with their channels last, which is faster; names and results stay."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


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
        if isinstance(optimizer, Adam | AdamW | SGD):
            group["fused"] = _fuses(optimizer, group["params"])
        for parameter in group["params"]:
            _follow(optimizer, parameter, bool(group.get("fused") or group.get("capturable")))


def _fuses(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> bool | None:
    """What the optimiser was told; else whether all parameters lie where a fused kernel is."""
    told = optimizer.defaults  # as they were given: a checkpoint changes the groups only
    if told["fused"] is not None or told["foreach"] is not None or told["differentiable"]:
        chosen: bool | None = told["fused"]
        return chosen
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)


def _follow(optimizer: Optimizer, parameter: nn.Parameter, counts_on_device: bool) -> None:
    """Let a parameter's states lie as it does: fused kernels read both from end to end, whatever their strides say."""
    states = optimizer.state.get(parameter, {})
    for name, value in states.items():
        if not isinstance(value, Tensor):
            continue
        if name == "step":
            states[name] = value.to(parameter.device if counts_on_device else "cpu", torch.float32)
        elif value.shape == parameter.shape and value.stride() != parameter.stride():
            states[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
