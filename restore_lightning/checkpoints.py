"""Networks out of checkpoints that `restore fit` wrote, and out of bundles of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restore_lightning.checkpoint_files import (
    ABOUT,
    CURRENT,
    DATA,
    EARLIER_FACTOR,
    EARLIER_PRECISION,
    FACTORS,
    KIND,
    MULTIPLE,
    ORDER,
    PRECISION,
    SPEC,
    STEP,
    WEIGHTS,
    read_file,
)
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.network_specs import architecture_difference, build
from restore_lightning.networks import network_info, set_size_multiple
from restore_lightning.weights import find_weights, read_bundle, read_config

STATED = ("licence", "trained_on", "repository", "scores", "notes")
"""What a bundle says of its weights that one made from it says too."""
OURS = "restore_lightning.networks."
"""What the classes of networks begin with that are built of weights which nobody here has looked at."""


class Trained(NamedTuple):
    """What a checkpoint holds.

    Args:
        network: With its weights, in eval mode on the CPU.
        order: The recurrent order that it was fine-tuned in; None: in none.
        spec: Its class and arguments.
        factors: What a network removes that is told nothing; empty: the network has factors of its own.
    """

    network: nn.Module
    order: list[str] | None
    spec: dict[str, Any]
    factors: tuple[str, ...] = ()

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Factor -> the network that removes it."""
        return dict.fromkeys(self.factors or network_info(self.network).factors, self.network)


def load_trained(path: str | Path) -> Trained:
    """The network of a checkpoint, a bundle, or other weights that `find_weights` finds.

    Only tensors and plain values are read from the file, and only a class derived from `torch.nn.Module` is built.

    Raises:
        UserError: No such file, no checkpoint of ours, or weights that do not fit.
    """
    return trained_of(read_checkpoint(path), path)


def trained_of(checkpoint: Any, path: str | Path) -> Trained:
    """The network of what `read_checkpoint` read; see `load_trained`."""
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(SPEC), dict):
        raise UserError(
            f"checkpoint {path} does not say how its network was built: it was not written by restore fit;"
            " the authors' files are turned into checkpoints by restore convert"
        )
    state = network_state(checkpoint)
    network = build(checkpoint[SPEC], state)
    if hasattr(network, "from_tensors"):
        state = network.state_dict()  # may have other names
    problem = state_dict_mismatch(shapes(network), state, most=3)
    if problem:
        raise UserError(f"checkpoint {path}: its weights do not fit its network: {problem}", exit_code=1)
    check_finite(path, network, state)
    network.load_state_dict(state)
    order: Any = checkpoint.get(ORDER)
    factors = network_info(network).factors
    removed, multiple = () if factors else _removed(checkpoint), checkpoint.get(MULTIPLE)
    if not (factors or removed):
        raise UserError(f"checkpoint {path} does not say which factors its network removes", exit_code=1)
    known = [*factors, *removed]
    if order is not None and not (isinstance(order, list) and order and all(one in known for one in order)):
        raise UserError(f"checkpoint {path}: its order {order} is none of its network's factors", exit_code=1)
    if multiple is not None:
        if not isinstance(multiple, int) or multiple < 1:
            raise UserError(f"checkpoint {path}: its {MULTIPLE} {multiple} is no number of pixels", exit_code=1)
        set_size_multiple(network, multiple)
    return Trained(network.eval(), order, checkpoint[SPEC], removed)


def _removed(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """The factors of a network that is told none; empty: the checkpoint does not say."""
    said = checkpoint.get(FACTORS) or [checkpoint.get(EARLIER_FACTOR)]
    if not isinstance(said, list) or not all(isinstance(one, str) and one for one in said):
        return ()
    return tuple(dict.fromkeys(name for one in said for name in one.split(", ")))


def read_checkpoint(path: str | Path) -> Any:
    """What a checkpoint holds, or other weights that `find_weights` finds; only tensors and plain values are read.

    Raises:
        UserError: There are none, or they cannot be read.
    """
    weights = find_weights(path)
    if weights.from_community:
        from restore_lightning.community import read_community

        return read_community(weights.place)
    kind = weights.place.suffix
    if kind == ".safetensors":
        raise UserError(
            f"checkpoint {path} is a file of safetensors alone: of a bundle, name its folder; authors' files become"
            " checkpoints by restore convert NETWORK FILE OUT"
        )
    if weights.place.is_file():
        try:
            return read_file(weights.place)
        except UserError as error:
            hint = "" if kind == ".ckpt" else "; authors' files become checkpoints by restore convert NETWORK FILE OUT"
            raise UserError(f"{error}{hint}", error.exit_code) from error
    try:
        config, tensors = read_bundle(weights.place)
    except UserError as error:
        # What is in the cache is not fetched again.
        hint = f"; of the hub's cache remove {weights.place.parents[1]} first" if weights.from_hub else ""
        raise UserError(f"checkpoint {error}{hint}", error.exit_code) from error
    made = config.get(SPEC)
    named = str(made.get("class_path")) if isinstance(made, Mapping) else ""
    if weights.from_hub and not named.startswith(OURS):
        raise UserError(
            f"{weights.name} is of the network {named or made}, not of one of {OURS}*, and from the hub only these are"
            f" built: look at it, and name its folder if you trust it ({weights.place})"
        )
    data = config.get("data")
    return {
        **{key: config.get(key) for key in (SPEC, ORDER, FACTORS, MULTIPLE, PRECISION)},
        **({DATA: data} if isinstance(data, Mapping) else {}),
        ABOUT: {key: config[key] for key in STATED if config.get(key)},
        KIND: config.get(KIND) or CURRENT,
        STEP: config.get("step") or 0,
        "state_dict": {f"{WEIGHTS}{name}": tensor for name, tensor in tensors.items()},
    }


def precision_of(path: str | Path) -> str | None:
    """What the network of a checkpoint was trained in; None: it cannot be read, which its reader will say."""
    try:
        place = find_weights(path).place
        if place.is_dir():
            return str(read_config(place).get(PRECISION) or EARLIER_PRECISION)
        checkpoint = torch.load(place, map_location="cpu", weights_only=True, mmap=True)
        return str(checkpoint.get(PRECISION) or EARLIER_PRECISION)
    except Exception:
        return None


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a module's state."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def not_finite(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors that make every image NaN: parameters that are not finite, other tensors that hold NaN.

    Others may hold infinity, as masks do. Devices are waited for once.

    Args:
        network: Says which are parameters.
        state: Name -> tensor.
    """
    parameters = {name for name, _ in network.named_parameters()}
    floating = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    if not floating:
        return []
    fine = [(t.isfinite() if name in parameters else ~t.isnan()).all() for name, t in floating.items()]
    return [name for name, good in zip(floating, torch.stack(fine).tolist(), strict=True) if not good]


def check_finite(path: str | Path, network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Refuse the weights (name -> tensor) of a training that diverged, with which every image would be black.

    Raises:
        UserError: Some are not finite.
    """
    names = not_finite(network, state)
    if names:
        raise UserError(
            f"checkpoint {path}: {len(names)} of its {len(state)} tensors are not finite ({shortened_list(names, 2)}):"
            " its training diverged; use an earlier one",
            exit_code=1,
        )


def state_dict_mismatch(
    expected: Mapping[str, tuple[int, ...]], given: Mapping[str, Tensor], most: int | None = None
) -> str | None:
    """What keeps tensors from being loaded, or None.

    Args:
        expected: Name -> shape.
        given: Name -> tensor.
        most: Names listed of each kind; None: all.
    """
    wrong = [
        f"{name} is {tuple(given[name].shape)}, needs {shape}"
        for name, shape in sorted(expected.items())
        if name in given and tuple(given[name].shape) != shape
    ]
    kinds = {
        "missing": sorted(set(expected) - set(given)),
        "unknown": sorted(set(given) - set(expected)),
        "of another shape": wrong,
    }
    lists = [
        f"{len(names)} {kind}: {shortened_list(names, most or len(names))}" for kind, names in kinds.items() if names
    ]
    return "; ".join(lists) or None


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's tensors in a checkpoint."""
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping):
        raise UserError("the checkpoint holds no weights: it was not written by restore fit", exit_code=1)
    found = {name.removeprefix(WEIGHTS): value for name, value in state.items() if str(name).startswith(WEIGHTS)}
    odd = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if odd:
        raise UserError(f"the checkpoint is damaged: its weights {shortened_list(odd)} are no tensors", exit_code=1)
    return found


def read_initial_checkpoint(
    init_from: str,
    network: nn.Module,
    spec: dict[str, Any] | None,
    fresh: Sequence[str] = (),
    but_for: Sequence[str] = (),
) -> Trained:
    """The checkpoint that a task's training starts from.

    Args:
        init_from: The task's argument.
        network: The task's, of which it must be.
        spec: Its class and arguments; None: not known.
        fresh: How the names of tensors begin that are not taken from the checkpoint, which may lack them.
        but_for: Arguments of the network's class that may differ.

    Raises:
        UserError: It cannot be read, or its network is another one.
    """
    advice = "; run step 1 first, or name the checkpoint of another run"
    path = find_weights(init_from, "model.init_from", advice=advice).name
    trained = load_trained(path)
    problem = spec and architecture_difference(spec, trained.spec, but_for)
    needed, given = (
        {name: value for name, value in tensors.items() if not name.startswith(tuple(fresh))}
        for tensors in (shapes(network), trained.network.state_dict())
    )
    problem = problem or state_dict_mismatch(needed, given, most=3)  # type: ignore[arg-type]
    if problem:
        raise UserError(
            f"model.init_from {path} is of another network than the config's: {problem};"
            " give model.network the settings of the config.yaml beside its checkpoints"
        )
    return trained
