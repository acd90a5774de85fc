"""Between our tensor names and those of released checkpoints, module by module or by rules."""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from restore_lightning.checkpoints import shapes

Weights = Mapping[str, Tensor]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern, and what replaces it."""


def renamed(network: nn.Module, modules: Mapping[str, str]) -> dict[str, str]:
    """Our tensor names -> theirs.

    Args:
        network: One of ours.
        modules: Our modules -> theirs, of all that hold tensors; others are left out.
    """
    split = (name.rpartition(".") for name in network.state_dict())
    return {f"{module}.{kind}": f"{modules[module]}.{kind}" for module, _, kind in split if module in modules}


def renamed_shapes(network: nn.Module, modules: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Their tensor names -> shapes."""
    ours = shapes(network)
    return {theirs: ours[mine] for mine, theirs in renamed(network, modules).items()}


def renamed_state(network: nn.Module, modules: Mapping[str, str], weights: Weights) -> dict[str, Tensor]:
    """Their weights under our names."""
    return {mine: weights[theirs] for mine, theirs in renamed(network, modules).items()}


def _rewritten(network: nn.Module, rules: Sequence[Rule]) -> dict[str, str]:
    """Our tensor names -> theirs, all rules applied one after the other."""
    theirs = {name: name for name in network.state_dict()}
    for pattern, replacement in rules:
        theirs = {name: re.sub(pattern, replacement, their) for name, their in theirs.items()}
    return theirs


def rewritten_shapes(network: nn.Module, rules: Sequence[Rule]) -> dict[str, tuple[int, ...]]:
    """Their tensor names -> shapes."""
    ours = shapes(network)
    return {theirs: ours[mine] for mine, theirs in _rewritten(network, rules).items()}


def rewritten_state(network: nn.Module, rules: Sequence[Rule], weights: Weights) -> dict[str, Tensor]:
    """Their weights under our names."""
    return {mine: weights[theirs] for mine, theirs in _rewritten(network, rules).items()}


def counted(weights: Weights, pattern: str) -> int:
    r"""How many names match a pattern with a number in it, e.g. r"latent\.(\d+)\.attn\.temperature"."""
    return sum(re.fullmatch(pattern, name) is not None for name in weights)


def numbers(weights: Weights, prefix: str, separator: str = ".") -> int:
    """How many different numbers follow a prefix: 6 for `block1.` to `block6.` and prefix "block"."""
    found = (name.removeprefix(prefix).partition(separator)[0] for name in weights if name.startswith(prefix))
    return len({number for number in found if number.isdigit()})


def size(weights: Weights, name: str, dimension: int, default: int) -> int:
    """One of a tensor's sizes; a tensor that is not there is complained of later."""
    shape = weights[name].shape if name in weights else ()
    return int(shape[dimension]) if len(shape) > max(dimension, 0) else default
