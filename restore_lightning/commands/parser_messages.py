"""What the command line's parser says, in one line."""

import re

from torch import nn

from restore_lightning import networks
from restore_lightning.shipped_configs import shipped

NETWORKS = [name for name, value in vars(networks).items() if isinstance(value, type) and issubclass(value, nn.Module)]
KNOWN_CLASSES = {
    "network": f"{', '.join(NETWORKS)}, or a dotted path, e.g. mynetwork.Net",
    "loss": "SSIML1, NegativePSNR, Charbonnier, or a dotted path, e.g. torch.nn.L1Loss",
}
"""Argument of a task -> the classes that it takes by their names alone, and others."""


def refusal(message: str, verb: str, config_given: bool) -> str:
    """What the user is told of a command line that the parser refuses.

    Args:
        message: The parser's.
        verb: Of the command line.
        config_given: Whether it names a config; without one, all that a config says is missing.
    """
    if "are required" in message and not config_given:
        return f"{verb} needs a model and data: give --config FILE, or a shipped one ({', '.join(shipped())})"
    return one_line(message)


def one_line(message: str) -> str:
    """The parser's message without the types that it tried in vain.

    >>> one_line("... Problem with given class_path 'a.Task': Option 'lrr' is not accepted - Expected a None")
    "a.Task: Option 'lrr' is not accepted"
    >>> one_line("Does not validate against ... Errors: - order [rain]: missing: haze - Expected a None")
    'order [rain]: missing: haze'
    >>> one_line("Does not validate ... Errors: - weights: rain has -1 - Expected a None Given value: {'rain': -1}")
    'weights: rain has -1'
    >>> one_line('... Parser key "loss": - Expected a path ... - Expected a dot import path string: L3 - Expected a')
    'loss L3: no class of this name; give SSIML1, NegativePSNR, Charbonnier, or a dotted path, e.g. torch.nn.L1Loss'
    """
    message = " ".join(message.split())
    unknown = re.search(r'.*Parser key "(\w+)": .*Expected a dot import path string: (\S+)', message)
    if unknown:
        known = KNOWN_CLASSES.get(unknown[1], "a dotted path, e.g. torch.optim.Adam")
        return f"{unknown[1]} {unknown[2]}: no class of this name; give {known}"
    unsuitable = re.search(
        r'.*Parser key "(\w+)": .*(Import path \S+ does not correspond to a subclass of \w+)', message
    )
    if unsuitable:
        return f"{unsuitable[1]}: {unsuitable[2]}"
    _, found, innermost = message.rpartition("Problem with given class_path '")
    name, _, problem = innermost.partition("': ")
    if found and problem:
        return f"{name}: {problem.partition(' - Expected a')[0]}"
    # What a task's constructor refuses.
    refused = message.partition("Errors: - ")[2].partition(" - Expected a")[0]
    return refused if message.startswith("Does not validate") and refused else message
