"""Reading the authors' checkpoints: names and shapes are checked, nothing is guessed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restore_lightning.checkpoints import misfit
from restore_lightning.errors import UserError
from restore_lightning.published import mbn

NETWORKS = {"MBN": mbn}


def load_network(
    name: str, source: str | Path | Mapping[str, Tensor], hyperparameters: Mapping[str, Any] | None = None
) -> nn.Module:
    """One of the papers' networks with its released weights.

    Args:
        name: One of `NETWORKS`.
        source: The authors' file, or a state dict with their tensor names; the prefix `module.` of
            DataParallel is accepted.
        hyperparameters: What shapes cannot tell; none of today's networks needs any.

    Returns:
        The network in eval mode, in the floating-point type of `source`.

    Raises:
        UserError: Unknown network, unreadable file, or other names or shapes than the released ones.
    """
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}: choose one of {', '.join(NETWORKS)}")
    if hyperparameters:
        raise UserError(f"{name} has no free hyper-parameters, given: {', '.join(hyperparameters)}")
    published = NETWORKS[name]
    weights = {key.removeprefix("module."): value for key, value in _state_dict(source).items()}
    network = published.build()
    _check(name, published.names(network), weights)
    translated = published.translate(weights)
    network.to(next(iter(translated.values())).dtype)
    network.load_state_dict(translated)
    return network.eval()


def _state_dict(source: str | Path | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if isinstance(source, Mapping):
        return source
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{source} cannot be read as a checkpoint: {error}".splitlines()[0]) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if state is None or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{source} holds no state dict (tensors by name)")
    return state


def _check(network: str, expected: Mapping[str, tuple[int, ...]], given: Mapping[str, Tensor]) -> None:
    problem = misfit(expected, given)
    if problem:
        raise UserError(f"these are not the released weights of {network}: {problem}")
