"""What the command line's parser says, in one line."""

import inspect
import re
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from lightning.pytorch import Trainer
from torch import nn

from restore_lightning import degradations, networks
from restore_lightning.callbacks import LastCheckpoint
from restore_lightning.data.module import RestorationData
from restore_lightning.degradations import Degradation
from restore_lightning.errors import did_you_mean
from restore_lightning.learning_rates import WarmupCosine
from restore_lightning.shipped_configs import shipped
from restore_lightning.tasks import ImageToImageTask, MultiBranchTask, RecurrentTask


def _classes(module: ModuleType, kind: type) -> list[str]:
    """The classes below another one that a module exports."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, type) and value is not kind}
    return [name for name, value in found.items() if issubclass(value, kind)]


KNOWN_CLASSES: dict[str, tuple[list[str], str]] = {
    "model": ([task.__name__ for task in (ImageToImageTask, MultiBranchTask, RecurrentTask)], "my.Task"),
    "network": (_classes(networks, nn.Module), "mynetwork.Net"),
    "loss": (["SSIML1", "NegativePSNR", "Charbonnier", "FourierL1"], "my.Loss"),
    "optimizer": (["Adam", "AdamW", "SGD"], "torch.optim.RAdam"),
    "lr_scheduler": ([WarmupCosine.__name__], "torch.optim.lr_scheduler.StepLR"),
    "degradation": (_classes(degradations, Degradation), "myfactor.Fog"),
}
"""Key -> the classes that it takes by their names alone, and the dotted path of another."""

GROUPS: dict[str, Any] = {"trainer": Trainer, "data": RestorationData, "checkpoint": LastCheckpoint}
"""Group of options -> what takes them."""
OPTIONS = ("config", "model", *GROUPS, "seed_everything", "ckpt_path", "overwrite")


def refusal(message: str, verb: str, config_given: bool) -> str:
    """What the user is told of a command line that the parser refuses.

    Args:
        message: The parser's.
        verb: Of the command line.
        config_given: Whether it names a config; without one, all that a config says is missing.
    """
    if "are required" in message and not config_given:
        return f"{verb} needs a model and data: give --config FILE, or a shipped one ({', '.join(shipped())})"
    return with_nearest(one_line(message))


def with_nearest(message: str) -> str:
    """A refusal of an unknown key, and the known one that looks like it.

    >>> with_nearest("Subcommand 'fit' does not accept option 'trainer.max_step'")
    "Subcommand 'fit' does not accept option 'trainer.max_step'; did you mean trainer.max_steps?"
    >>> with_nearest("unrecognized arguments: --data.rot photos")
    'unrecognized arguments: --data.rot photos; did you mean --data.root?'
    >>> with_nearest("restore_lightning.networks.DRN: Option 'widht' is not accepted")
    "restore_lightning.networks.DRN: Option 'widht' is not accepted; did you mean width?"
    """
    of_class = re.search(r"(?:^|\s)([\w.]+)\.(\w+): Option '([\w.]+)' is not accepted", message)
    if of_class:
        owner = getattr(sys.modules.get(of_class[1]), of_class[2], None)
        start, _, key = of_class[3].rpartition(".")
        if owner is None or start:
            return message
        return message + did_you_mean(key, _arguments(owner))
    option = re.search(r"(?:does not accept option '|unrecognized arguments: (?=--))((?:--)?)([\w.]+)", message)
    if not option:
        return message
    group, _, key = option[2].rpartition(".")
    known = OPTIONS if not group else _arguments(GROUPS[group]) if group in GROUPS else ()
    return message + did_you_mean(key, known, f"{option[1]}{group}." if group else option[1])


def _arguments(owner: Any) -> Iterable[str]:
    return [name for name in inspect.signature(owner).parameters if name != "self"]


def one_line(message: str) -> str:
    r"""The parser's message without the types that it tried in vain.

    >>> one_line("... Problem with given class_path 'a.Task': Option 'lrr' is not accepted - Expected a None")
    "a.Task: Option 'lrr' is not accepted"
    >>> one_line("Does not validate against ... Errors: - order [rain]: missing: haze - Expected a None")
    'order [rain]: missing: haze'
    >>> one_line("Does not validate ... Errors: - weights: rain has -1 - Expected a None Given value: {'rain': -1}")
    'weights: rain has -1'
    >>> one_line("... Problem with given class_path 'my.Dusk': No module named 'my' - Expected a None")
    "my.Dusk: No module named 'my'; if it is a file of yours, start restore in its folder, or set PYTHONPATH to that"
    >>> one_line('... Parser key "loss": - Expected a path ... - Expected a dot import path string: L3 - Expected a')
    'loss L3: no class of this name; give SSIML1, NegativePSNR, Charbonnier, FourierL1, or a dotted path, e.g. my.Loss'
    >>> one_line("... Parser key \"colour\": Expected a typing.Literal['rgb', 'gray', 'y']. Got value: grey")
    'colour grey: give one of rgb, gray, y; did you mean gray?'
    """
    message = " ".join(message.split())
    unknown = re.search(r'.*Parser key "(\w+)": .*Expected a dot import path string: (\S+)', message)
    if unknown:
        known, path = KNOWN_CLASSES.get(unknown[1], ([], "my.Class"))
        give = ", ".join([*known, "or a dotted path"]) if known else "a dotted path"
        near = did_you_mean(unknown[2], known)
        return f"{unknown[1]} {unknown[2]}: no class of this name; give {give}, e.g. {path}{near}"
    choice = re.search(
        r'.*Parser key "([\w.]+)": .*Expected a typing\.Literal\[(.+?)\]\. Got value: (.+?)(?: - Expected a |$)',
        message,
    )
    if choice:
        key, choices, given = choice[1], choice[2].replace("'", ""), choice[3]
        return f"{key} {given}: give one of {choices}{did_you_mean(given, choices.split(', '))}"
    into_null = re.search(
        r"Parser key \"(data\.(?:val|test)_sets)\": .*Given value: NestedArg\(key='([^'.]+)\.([^']+)'", message
    )
    if into_null:
        group, name, key = into_null.groups()
        return (
            f"{group}.{name}.{key}: the config's {group} is null; give it whole, --{group} '{{{name}: {{{key}: ...}}}}'"
        )
    unsuitable = re.search(
        r'.*Parser key "(\w+)": .*(Import path \S+ does not correspond to a subclass of \w+)', message
    )
    if unsuitable:
        return f"{unsuitable[1]}: {unsuitable[2]}"
    _, found, innermost = message.rpartition("Problem with given class_path '")
    name, _, problem = innermost.partition("': ")
    if found and problem:
        problem = problem.partition(" - Expected a")[0]
        ours_not = f"No module named '{name.partition('.')[0]}'"
        way_out = "; if it is a file of yours, start restore in its folder, or set PYTHONPATH to that"
        return f"{name}: {problem}{way_out if problem.startswith(ours_not) else ''}"
    # What a task's constructor refuses.
    refused = message.partition("Errors: - ")[2].partition(" - Expected a")[0]
    return refused if message.startswith("Does not validate") and refused else message
