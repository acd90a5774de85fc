"""Networks out of checkpoints that `restore fit` wrote."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restore_lightning.errors import UserError, shortened
from restore_lightning.networks import SizeRule, has_branches

SPEC = "network"
"""Key of a checkpoint under which the network's class and arguments are kept."""
ORDER = "order"
"""Key under which the recurrent order is kept that the network was fine-tuned in; None: in none."""
FACTOR = "factor"
"""Key under which a single-factor network's factor is kept; None: the network has factors of its own."""
MULTIPLE = "size_multiple"
"""Key under which the size multiple is kept of a network that declares none."""


class Trained(NamedTuple):
    """What a checkpoint holds.

    Args:
        network: With its weights, in eval mode on the CPU.
        order: The recurrent order that it was fine-tuned in; None: in none.
        spec: Its class and arguments.
        factor: What a single-factor network removes; None: the network has factors of its own.
    """

    network: nn.Module
    order: list[str] | None
    spec: dict[str, Any]
    factor: str | None = None


def load_trained(path: str | Path) -> Trained:
    """The network of a checkpoint.

    Only tensors and plain values are read from the file, and only a class derived from
    `torch.nn.Module` is built.

    Raises:
        UserError: No such file, no checkpoint of ours, or weights that do not fit.
    """
    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(SPEC), dict):
        raise UserError(f"checkpoint {path} does not say how its network was built: it was not written by restore fit")
    network = build(checkpoint[SPEC])
    prefix = "network."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    problem = misfit(shapes(network), state, most=3)
    if problem:
        raise UserError(f"checkpoint {path}: its weights do not fit its network: {problem}", exit_code=1)
    network.load_state_dict(state)
    order, factors = checkpoint.get(ORDER), getattr(network, "factors", []) if has_branches(network) else []
    if order is not None and not (isinstance(order, list) and order and all(name in factors for name in order)):
        raise UserError(f"checkpoint {path}: its order {order} is none of its network's factors", exit_code=1)
    factor, multiple = checkpoint.get(FACTOR), checkpoint.get(MULTIPLE)
    if not (factors or isinstance(factor, str)):
        raise UserError(f"checkpoint {path} does not say which factor its network removes", exit_code=1)
    if isinstance(multiple, int):
        network.size_rule = SizeRule(multiple, multiple)  # type: ignore[assignment]  # a fact, no module
    return Trained(network.eval(), order, checkpoint[SPEC], None if factors else factor)


def read_checkpoint(path: str | Path) -> Any:
    """What a checkpoint file holds; only tensors and plain values are read.

    Raises:
        UserError: No such file, or it cannot be read.
    """
    if not Path(path).is_file():
        hint = "a folder, name a file, e.g. checkpoints/best.ckpt in it" if Path(path).is_dir() else "no such file"
        raise UserError(f"checkpoint {path}: {hint}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"checkpoint {path} cannot be read: it is none, is damaged, or holds more than tensors and plain values",
            exit_code=1,
        ) from error


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a module's state."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def misfit(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, Tensor], most: int | None = None) -> str | None:
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
    lists = [f"{len(names)} {kind}: {shortened(names, most or len(names))}" for kind, names in kinds.items() if names]
    return "; ".join(lists) or None


def build(spec: dict[str, Any]) -> nn.Module:
    """A network from {"class_path": ..., "init_args": {...}}.

    Raises:
        UserError: The class cannot be imported or is no `torch.nn.Module`.
    """
    network: nn.Module = _class_of(spec)(**spec.get("init_args", {}))
    return network


def _class_of(spec: dict[str, Any]) -> type[nn.Module]:
    module, _, name = str(spec.get("class_path")).rpartition(".")
    try:
        network_class = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"the checkpoint's network class {spec.get('class_path')} cannot be imported: {error};"
            " if it is a file of yours, set PYTHONPATH to its folder"
        ) from error
    if not (isinstance(network_class, type) and issubclass(network_class, nn.Module)):
        raise UserError(f"the checkpoint names {spec.get('class_path')} as its network, which is no torch.nn.Module")
    return network_class


def different(mine: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """Settings that make another network of theirs than of mine, or None; how weights were initialised does not.

    A setting that an older checkpoint does not know has its default.
    """
    if _class_of(mine) is not _class_of(theirs):
        return f"it is {mine['class_path']}, was {theirs['class_path']}"
    parameters = inspect.signature(_class_of(mine)).parameters.items()
    defaults = {name: parameter.default for name, parameter in parameters}
    now, was = ({**defaults, **spec.get("init_args", {})} for spec in (mine, theirs))
    names = sorted((set(now) | set(was)) - {"init"})
    differing = [name for name in names if _plain(now.get(name)) != _plain(was.get(name))]
    return "; ".join(f"{name} is {now.get(name)}, was {was.get(name)}" for name in differing) or None


def _plain(value: Any) -> Any:
    """None and an empty list or mapping are the same wherever both are allowed, and so are lists and tuples."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value] or None
    return value if value != {} else None
