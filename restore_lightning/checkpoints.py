"""Networks out of checkpoints that `restore fit` wrote."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from restore_lightning.errors import UserError

SPEC = "network"
"""Key of a checkpoint under which the network's class and arguments are kept."""


def load_trained(path: str | Path) -> nn.Module:
    """The network of a checkpoint, with its weights, in eval mode on the CPU.

    Only tensors and plain values are read from the file, and only a class derived from
    `torch.nn.Module` is built.

    Raises:
        UserError: No such file, no checkpoint of ours, or weights that do not fit.
    """
    if not Path(path).is_file():
        raise UserError(f"checkpoint {path}: no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"checkpoint {path} cannot be read: {str(error).splitlines()[0]}", exit_code=1) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(SPEC), dict):
        raise UserError(f"checkpoint {path} does not say how its network was built: it was not written by restore fit")
    network = build(checkpoint[SPEC])
    prefix = "network."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"checkpoint {path}: its weights do not fit its network: {error}", exit_code=1) from error
    return network.eval()


def build(spec: dict[str, Any]) -> nn.Module:
    """A network from {"class_path": ..., "init_args": {...}}.

    Raises:
        UserError: The class cannot be imported or is no `torch.nn.Module`.
    """
    module, _, name = str(spec.get("class_path")).rpartition(".")
    try:
        network_class = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"the checkpoint's network class {spec.get('class_path')} cannot be imported: {error}"
        ) from error
    if not (isinstance(network_class, type) and issubclass(network_class, nn.Module)):
        raise UserError(f"the checkpoint names {spec.get('class_path')} as its network, which is no torch.nn.Module")
    network: nn.Module = network_class(**spec.get("init_args", {}))
    return network
