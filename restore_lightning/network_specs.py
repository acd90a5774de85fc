"""Networks as {"class_path": ..., "init_args": {...}}: built, checked, compared."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from restore_lightning.errors import UserError, shortened_text


def build(spec: dict[str, Any], tensors: Mapping[str, Tensor] | None = None) -> nn.Module:
    """A network from {"class_path": ..., "init_args": {...}}.

    Args:
        spec: Its class and arguments.
        tensors: Name -> tensor of its weights; a class with a method `from_tensors` is built of these alone.

    Raises:
        UserError: The class cannot be imported or is no `torch.nn.Module`.
    """
    try:
        made: Any = _class_of(spec)
        if tensors is not None and hasattr(made, "from_tensors"):
            return made.from_tensors(tensors)
        network: nn.Module = made(**_arguments(spec))
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError) as error:
        line = shortened_text(" ".join(str(error).split()))
        raise UserError(f"the network {spec.get('class_path')} cannot be built again: {line}") from error
    return network


def _arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {**(spec.get("init_args") or {}), **(spec.get("dict_kwargs") or {})}


def check_serialisable(spec: dict[str, Any]) -> None:
    """Refuse a network that could be trained, but not built again from what a checkpoint may hold.

    Args:
        spec: Its class and arguments.

    Raises:
        UserError: Arguments that are no plain values, or that are classes of their own.
    """
    odd = [f"{name} ({type(value).__name__})" for name, value in _arguments(spec).items() if not _is_plain(value)]
    if odd:
        raise UserError(
            f"{spec['class_path']} could not be built again from a checkpoint: its arguments {', '.join(odd)} are no"
            " plain numbers, texts, lists or mappings of them; let the class make such objects itself"
        )


def check_arguments(spec: dict[str, Any]) -> None:
    """Refuse a network of which arguments without a default are left out; the config's parser gives None for them.

    Args:
        spec: Its class and arguments.

    Raises:
        UserError: Some are.
    """
    given = _arguments(spec)
    parameters = inspect.signature(_class_of(spec)).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    missing = [name for name in needed if given.get(name) is None]
    if missing:
        raise UserError(f"{spec['class_path']} needs {', '.join(missing)}: give --model.network.{missing[0]}")


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "class_path" not in value and all(type(key) is str and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


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


def architecture_difference(mine: dict[str, Any], theirs: dict[str, Any], but_for: Sequence[str] = ()) -> str | None:
    """Settings that make another network of theirs than of mine, or None; how weights were initialised does not.

    Nor do the arguments that a class names as `read_off`, as its tensors tell them, nor those of `but_for`. A setting
    that an older checkpoint does not know has its default.
    """
    network_class = _loaded(mine)
    if network_class is not _loaded(theirs):
        return f"it is {mine['class_path']}, was {theirs['class_path']}"
    parameters = inspect.signature(network_class).parameters.items() if network_class else ()
    defaults = {name: parameter.default for name, parameter in parameters}
    now, was = ({**defaults, **_arguments(spec)} for spec in (mine, theirs))
    names = sorted((set(now) | set(was)) - {"init", *getattr(network_class, "read_off", ()), *but_for})
    differing = [name for name in names if _comparable(now.get(name)) != _comparable(was.get(name))]
    return "; ".join(f"{name} is {now.get(name)}, was {was.get(name)}" for name in differing) or None


def _loaded(spec: Mapping[str, Any]) -> Any:
    """A spec's class if its module has been imported; a checkpoint's are not imported just to be compared."""
    module, _, name = str(spec.get("class_path")).rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def _comparable(value: Any) -> Any:
    """None and an empty list or mapping are the same wherever both are allowed, and so are lists and tuples."""
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value] or None
    return value if value != {} else None
