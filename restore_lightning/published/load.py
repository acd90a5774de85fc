"""Reading the authors' checkpoints: names and shapes are checked, nothing is guessed."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from restore_lightning.checkpoint_files import SPEC, read_file
from restore_lightning.checkpoints import state_dict_mismatch
from restore_lightning.errors import LISTED, UserError, did_you_mean, shortened_error
from restore_lightning.networks import DIN, DRN, MBN, DuRN, NAFNet, PromptIR, Restormer
from restore_lightning.published import din, drn, durn, mbn, nafnet, promptir, restormer


class Release(NamedTuple):
    """A released network.

    Args:
        network: Our class.
        module: The module of this package that knows the authors' names.
    """

    network: type[nn.Module]
    module: Any


NETWORKS = {
    "MBN": Release(MBN, mbn),
    **{f"DuRN_{preset}": Release(DuRN, durn) for preset in ("P", "P_no_norm", "U", "US", "S", "S_P")},
    "DRN": Release(DRN, drn),
    **{f"DIN_x{scale}": Release(DIN, din) for scale in (2, 3, 4, 8)},
    **dict.fromkeys(("NAFNet", "NAFNetLocal"), Release(NAFNet, nafnet)),
    "Restormer": Release(Restormer, restormer),
    "PromptIR": Release(PromptIR, promptir),
}
"""Name -> how the checkpoint that its authors published is read."""
CONTAINERS = ("params_ema", "params", "state_dict")
"""Keys of a checkpoint's state dict; the first that it has is taken: averaged weights before the last ones."""


def load_network(
    name: str, source: str | Path | Mapping[str, Tensor], hyperparameters: Mapping[str, Any] | None = None
) -> nn.Module:
    """One of the papers' networks with its released weights.

    Its hyper-parameters are read off the shapes, so that networks of other sizes that were trained with the authors'
    code are read too.

    Args:
        name: One of `NETWORKS`.
        source: The authors' file (of torch or safetensors), or a state dict with their tensor names, alone or under
            one of `CONTAINERS`; the prefixes `module.` of DataParallel and `net.` of Lightning modules are accepted.
        hyperparameters: What shapes cannot tell: DRN's `T` and `R` (7 by default), `dilations` of a DuRN whose
            blocks are not the paper's, `train_size` of NAFNetLocal (256 by default).

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
        raise UserError(f"unknown network {name!r}: choose one of {', '.join(NETWORKS)}{did_you_mean(name, NETWORKS)}")
    release = NETWORKS[name]
    published = release.module
    given = dict(hyperparameters or {})
    unknown = [key for key in given if key not in published.FREE]
    if unknown:
        free = f"{', '.join(published.FREE)} only" if published.FREE else "none"
        raise UserError(f"{name}: hyper-parameters {', '.join(unknown)} given, shapes tell all others: give {free}")
    weights = _checked(name, _state_dict(source))
    try:
        arguments = published.arguments(name, weights, given)
        with torch.device("meta"):  # the weights come from the checkpoint
            network = release.network(**arguments)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: sizes that torch cannot count
        raise UserError(f"{name}: {error}") from error
    expected = published.names(network)
    weights |= _counters(expected, weights)
    problem = state_dict_mismatch(expected, weights, most=LISTED)
    if problem:
        alike = [other for other in NETWORKS if other != name and _usual_names(other) == set(weights)]
        hint = f"; their names are those of {' or '.join(alike)}" if alike else ""
        raise UserError(f"these are not the released weights of {name}: {problem}{hint}")
    state = {key: value.detach().clone() for key, value in published.translate(network, weights).items()}
    network.load_state_dict(state, assign=True)
    spec = {"class_path": f"restore_lightning.networks.{release.network.__name__}", "init_args": arguments}
    return network.eval(), spec


@cache
def _usual_names(name: str) -> frozenset[str]:
    """The tensor names of a network of the published size; building it takes a while."""
    network, published = NETWORKS[name]
    with torch.device("meta"):
        return frozenset(published.names(network(**published.arguments(name, {}, {}))))


def _counters(expected: Mapping[str, tuple[int, ...]], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros for batch normalisation's counters where a checkpoint has none at all, as before PyTorch 0.4."""
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    if set(expected) - set(weights) != counters:
        return {}
    return {name: torch.zeros((), dtype=torch.long) for name in counters}


def _checked(name: str, state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors by name, without the prefixes of wrappers; refuses what no checkpoint of a network holds."""
    weights: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f"{name}: {key!r} in the checkpoint is no tensor with a name")
        short = key.removeprefix("module.").removeprefix("net.")
        if short in weights:
            raise UserError(f"{name}: the checkpoint holds {short} with and without the prefix module. or net.")
        counter = key.endswith("num_batches_tracked")
        usual = value.layout == torch.strided and not value.is_quantized and not value.is_meta and not value.is_nested
        if not usual or not (value.is_floating_point() or counter):
            raise UserError(f"{name}: {key} in the checkpoint holds no real numbers in memory ({value.dtype})")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"{name}: {key} in the checkpoint claims more numbers than it holds")
        weights[short] = value
    precisions = sorted({str(value.dtype) for value in weights.values() if value.is_floating_point()})
    if len(precisions) > 1:
        raise UserError(f"{name}: the checkpoint mixes {' and '.join(precisions)}: convert it to one of them")
    return weights


def _read(path: Path) -> Any:
    """What a file of torch or of safetensors holds."""
    if path.suffix != ".safetensors" or not path.is_file():
        return read_file(path)
    try:
        return load_file(path)
    except Exception as error:  # of its parser, and of what it makes of a damaged header
        raise UserError(f"{path} cannot be read as safetensors: {shortened_error(error, 100)}", exit_code=1) from error


def _state_dict(source: str | Path | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    loaded = source if isinstance(source, Mapping) else _read(Path(source))
    if isinstance(loaded, Mapping) and SPEC in loaded:
        raise UserError(f"{source} was written by restore fit or restore convert: use it as it is")
    state: Any = None
    if isinstance(loaded, Mapping):
        state = next((loaded[key] for key in CONTAINERS if key in loaded), loaded)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        where = "the mapping given" if isinstance(source, Mapping) else str(source)
        raise UserError(f"{where} holds no state dict (tensors by name, alone or under {', '.join(CONTAINERS)})")
    return state
