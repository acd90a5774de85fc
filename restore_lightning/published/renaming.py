"""Between our tensor names and those of released checkpoints, module by module."""

from collections.abc import Mapping

from torch import Tensor, nn

from restore_lightning.checkpoints import shapes

Weights = Mapping[str, Tensor]


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


def numbers(weights: Weights, prefix: str, separator: str = ".") -> int:
    """How many different numbers follow a prefix: 6 for `block1.` to `block6.` and prefix "block"."""
    found = (name.removeprefix(prefix).partition(separator)[0] for name in weights if name.startswith(prefix))
    return len({number for number in found if number.isdigit()})


def size(weights: Weights, name: str, dimension: int, default: int) -> int:
    """One of a tensor's sizes; a tensor that is not there is complained of later."""
    shape = weights[name].shape if name in weights else ()
    return int(shape[dimension]) if len(shape) > max(dimension, 0) else default
