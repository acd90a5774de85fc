"""Reading the authors' checkpoints: names and shapes are checked, nothing is guessed."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restore_lightning.checkpoints import misfit, read_checkpoint
from restore_lightning.errors import UserError
from restore_lightning.networks import DIN, DRN, MBN, DuRN


class Release(NamedTuple):
    """A released network.

    Args:
        network: Our class.
        module: The module of this package that knows the authors' names.
    """

    network: type[nn.Module]
    module: str


NETWORKS = {
    "MBN": Release(MBN, "mbn"),
    **{f"DuRN_{preset}": Release(DuRN, "durn") for preset in ("P", "P_no_norm", "U", "US", "S", "S_P")},
    "DRN": Release(DRN, "drn"),
    **{f"DIN_x{scale}": Release(DIN, "din") for scale in (2, 3, 4, 8)},
}


def load_network(
    name: str, source: str | Path | Mapping[str, Tensor], hyperparameters: Mapping[str, Any] | None = None
) -> nn.Module:
    """One of the papers' networks with its released weights.

    Its hyper-parameters are read off the shapes, so that networks of other sizes that were trained with the authors'
    code are read too.

    Args:
        name: One of `NETWORKS`.
        source: The authors' file, or a state dict with their tensor names; the prefix `module.` of
            DataParallel is accepted.
        hyperparameters: What shapes cannot tell: DRN's `T` and `R` (7 by default), `dilations` of a DuRN whose
            blocks are not the paper's.

    Returns:
        The network in eval mode, in the floating-point type of `source`.

    Raises:
        UserError: Unknown network, unreadable file, or other names or shapes than the released ones.
    """
    return import_network(name, source, hyperparameters)[0]


def import_network(
    name: str, source: str | Path | Mapping[str, Tensor], hyperparameters: Mapping[str, Any] | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """`load_network`, and the class and arguments that build the network."""
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}: choose one of {', '.join(NETWORKS)}")
    release = NETWORKS[name]
    published: Any = import_module(f"restore_lightning.published.{release.module}")
    given = dict(hyperparameters or {})
    unknown = [key for key in given if key not in published.FREE]
    if unknown:
        free = f"{', '.join(published.FREE)} only" if published.FREE else "none"
        raise UserError(f"{name}: hyper-parameters {', '.join(unknown)} given, shapes tell all others: give {free}")
    weights = {key.removeprefix("module."): value for key, value in _state_dict(source).items()}
    try:
        arguments = published.build(name, weights, given)
        with torch.device("meta"):  # the weights come from the checkpoint
            network = release.network(**arguments)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: {error}") from error
    problem = misfit(published.names(network), weights)
    if problem:
        raise UserError(f"these are not the released weights of {name}: {problem}")
    state = {key: value.detach().clone() for key, value in published.translate(network, weights).items()}
    network.load_state_dict(state, assign=True)
    spec = {"class_path": f"restore_lightning.networks.{release.network.__name__}", "init_args": arguments}
    return network.eval(), spec


def _state_dict(source: str | Path | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    loaded = source if isinstance(source, Mapping) else read_checkpoint(source)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{source} holds no state dict (tensors by name)")
    return state
