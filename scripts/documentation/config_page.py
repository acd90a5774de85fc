"""The page of a config's keys: tables made of what the parser tells of them."""

import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import nn
from torch.optim import lr_scheduler

from restore_lightning import callbacks, degradations, losses, networks, tasks
from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.noise_stream import LegacyNoise
from restore_lightning.data.phases import PhaseConfig
from restore_lightning.degradations import DEGRADATIONS, Degradation
from restore_lightning.inference import Baseline, InferenceSettings
from restore_lightning.learning_rates import WarmupCosine
from scripts.documentation.command_page import printed

NO_WRAPPING = 10**6
"""Columns of help texts that are read here."""
SECTIONS = {
    "Trainer": ("trainer", "Lightning's Trainer, with the defaults of this package."),
    "Data": ("data", "What is trained on and scored; see [Data](../data.md)."),
    "Checkpoints": ("checkpoint", "When the run is saved."),
}


class Key(NamedTuple):
    """A key of a config, as the parser describes it."""

    name: str
    kind: str
    default: str
    about: str


def config_page() -> str:
    """The page, in Markdown."""
    keys = list(keys_of(printed("fit", "--help", width=NO_WRAPPING)))
    text = [
        "# Config keys",
        "",
        "Every key of `restore fit --config C.yaml`; each is a flag too (`--data.crop_size 128`).",
        "`restore fit --config C.yaml --print_config` prints a config with all of its defaults. Classes are named by",
        "`class_path` and get their arguments by `init_args`; those of this package need no module in front.",
        "",
        "## Run",
        "",
        *_table(key for key in keys if key.name.split(".")[0] not in {"model", *(s for s, _ in SECTIONS.values())}),
    ]
    for title, (section, about) in SECTIONS.items():
        text += [f"## {title}", "", about, "", *_table(key for key in keys if key.name.startswith(f"{section}."))]
    for title, about, classes in _classes():
        text += [f"## {title}", "", about, ""]
        for cls in classes:
            summary = (cls.__doc__ or "").strip().splitlines()[0]
            ours = cls.__module__.startswith("restore_lightning.")
            more = f" [API][{cls.__module__}.{cls.__qualname__}]" if ours else f" (`{cls.__module__}`)"
            text += [f"### {cls.__name__}", "", summary + more, ""]
            text += _table(_keys_of_class(cls))
    return "\n".join(text)


def _classes() -> Iterator[tuple[str, str, list[type]]]:
    """Titles, what to say below them, and the classes whose arguments are keys."""
    yield "Tasks", "`model.class_path` and the keys of its `model.init_args`.", [
        tasks.MultiBranchTask, tasks.RecurrentTask, tasks.ImageToImageTask
    ]  # fmt: skip
    modules = [getattr(networks, name) for name in sorted(networks.__all__, key=str.lower)]
    yield "Networks", "`model.init_args.network`: one of these, or any `nn.Module` of your own.", [
        each for each in modules if isinstance(each, type) and issubclass(each, nn.Module)
    ]  # fmt: skip
    yield "Losses", "`model.init_args.loss` of a `ImageToImageTask`: one of these, or any `nn.Module`.", [
        each for each in vars(losses).values() if isinstance(each, type) and each.__module__ == losses.__name__
    ]  # fmt: skip
    yield "How images are restored", "`model.init_args.inference`, and each entry of `model.init_args.baselines`.", [
        InferenceSettings, Baseline
    ]  # fmt: skip
    yield "Factors", "Each entry of `data.factors`, by the factor's name.", [FactorConfig]
    yield "Phases", "Entries of `data.phases`.", [PhaseConfig]
    noise = "`data.test_sets.NAME.noise` and `data.val_sets.NAME.noise`."
    yield "Noise of test sets", noise, [LegacyNoise]
    yield "Test and validation sets", "Each entry of `data.test_sets` and `data.val_sets`.", [EvaluationConfig]
    named = dict.fromkeys(DEGRADATIONS.values())  # mixtures of a name are functions that make a `Mixture`
    yield "Degradations", "`data.factors.NAME.degradation`.", [each for each in named if isinstance(each, type)]
    yield "Callbacks", "Entries of `trainer.callbacks`; those that every run has need none.", [
        callbacks.ActivationMaps, WeightAveraging
    ]  # fmt: skip
    rates = "`model.init_args.lr_scheduler`: one of these, which take the optimiser by themselves, or any of torch's."
    yield "Learning rates", rates, [
        WarmupCosine, ReduceLROnPlateau, lr_scheduler.MultiStepLR, lr_scheduler.CosineAnnealingLR
    ]  # fmt: skip
    unnamed = "`data.factors.NAME.degradation`, by their `class_path`: no factor gets them by its name."
    others = [getattr(degradations, name) for name in sorted(degradations.__all__)]
    yield "Other degradations", unnamed, [
        each for each in others
        if isinstance(each, type) and each is not Degradation and each not in DEGRADATIONS.values()
    ]  # fmt: skip


def _keys_of_class(cls: Any) -> Iterator[Key]:
    parser = ArgumentParser()
    schedule = issubclass(cls, lr_scheduler.LRScheduler)
    parser.add_class_arguments(cls, skip={"optimizer"} if schedule else None)  # the task gives it
    with patch.dict(os.environ, {"COLUMNS": str(NO_WRAPPING)}):
        yield from keys_of(parser.format_help())


def keys_of(help_text: str) -> Iterator[Key]:
    """The keys that a help text describes, which wraps no lines.

    >>> list(keys_of("  --data.root ROOT      Folder. (type: Union[str, null], default: null)"))
    [Key(name='data.root', kind='str, null', default='null', about='Folder.')]
    """
    for found in re.finditer(r"^  (-\S.*?)(?:(?: {2,}|\n {10,})(\S.*))?$", help_text, re.MULTILINE):
        names = re.findall(r"--([\w.]+)", found[1])
        if not names or names[0].endswith("help") or names[0] == "print_config":
            continue
        about, kind, default = (found[2] or "").strip(), "", ""
        told = re.fullmatch(r"(?s)(.*?) ?\((required, )?type: (.*)\)", about)
        if told:
            about, required, kind = told[1], told[2], told[3].partition(", known subclasses: ")[0]
            kind, _, default = kind.partition(", default: ")
            default = "required" if required else default
            kind = re.sub(r"^Union\[(.*)\]$", r"\1", kind)
        if kind or "CONFIG" not in found[1]:  # those of groups are files of keys
            yield Key(names[0], kind, default, about)


def _table(keys: Any) -> list[str]:
    rows = [
        f"| `{key.name}` | {_cell(key.about)} | {_code(key.kind)} | {_code(key.default)} |" for key in keys
    ]  # fmt: skip
    if not rows:
        return ["No keys.", ""]
    return ["| key | meaning | type | default |", "|---|---|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", r"\|").replace("<", "&lt;").replace("[", r"\[").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|") if text else ""
