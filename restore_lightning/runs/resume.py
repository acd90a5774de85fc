"""A run's settings by their dotted names: compared between its processes, and with the checkpoint it goes on from."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from restore_lightning.errors import UserError

log = logging.getLogger(__name__)

PLACES = {"default_root_dir", "root", "clean", "degraded", "shards", "init_from", "checkpoint", "logger", "config"}
"""Last words of names that say where files lie, which may differ between machines."""
KEPT = ("model.class_path", "model.init_args.optimizer", "model.init_args.lr_scheduler")
"""Beginnings of the names of settings that a resumed run cannot change: its checkpoint holds the state of these."""
OF_STEPS = ("model.", "trainer.gradient_clip", "trainer.callbacks")
"""Beginnings of the names of settings that steps depend on; what the data are says `data.agreement`."""
FREE = ("network", "order", "inference", "init_from", "baselines", "title", "activation_checkpointing", "recompute")
"""Arguments of a task that change no step of training, or that are compared elsewhere."""


def flatten_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config that all processes of a run share: dotted name -> plain value."""
    return {name: value for name, value in _flat(config) if name.rpartition(".")[2] not in PLACES}


def task_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `flatten_config` that decide how a task trains."""
    free = tuple(f"model.init_args.{name}" for name in FREE)
    return {name: value for name, value in settings.items() if name.startswith(OF_STEPS) and not name.startswith(free)}


def check_resumed(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare a resumed run's task with that of its checkpoint; either is empty where nobody knows.

    Raises:
        UserError: A setting differs whose state the checkpoint holds: it would be overlooked.
    """
    differing = [name for name in dict.fromkeys((*was, *now)) if was and now and was.get(name) != now.get(name)]
    changes = [f"{name} was {was.get(name)}, is {now.get(name)}" for name in differing]
    for name, change in zip(differing, changes, strict=True):
        if name.startswith(KEPT):
            raise UserError(
                f"the checkpoint is of another run than the config's: {change}; what it holds of task, optimiser and"
                " schedule goes on unchanged (max_steps, devices and data.num_workers may change): go on with --config"
                " config.yaml of its folder, or start another run"
            )
    for change in changes:
        log.warning("resuming with other settings: %s", change)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


GO_ON = "go on with --config config.yaml of its folder"


def check_continued(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare a resumed run's data with what it was trained on; `RestorationData.state_dict` says of both.

    Raises:
        UserError: Another seed or schedule, or photographs before, procedural scenes now, or the other way round.
    """
    if (was["root"] is None) != (now["root"] is None):
        raise UserError(f"the run was trained with data.root {was['root']}, now it is {now['root']}: {GO_ON}")
    folders = was.get("folders", {}), now["folders"]
    if any(map(any, folders[0].values())) != any(map(any, folders[1].values())):
        raise UserError(
            f"the run was trained with data.factors' folders {folders[0]}, now they are {folders[1]}: {GO_ON}"
        )
    for key, name in (("seed", "seed_everything"), ("minibatches", "the schedule's minibatches per cycle")):
        if key in was and was[key] != now[key]:
            raise UserError(f"the run was trained with {name} {was[key]}, now it is {now[key]}: {GO_ON}")
    for key in [key for key in was if key in now]:
        before, after = (each if isinstance(each, dict) else {"": each} for each in (was[key], now[key]))
        for factor in before | after:
            if before.get(factor) != after.get(factor):
                of = f" of {factor}" * bool(factor)
                log.warning(
                    "resuming with other data: %s%s was %s, is %s", key, of, before.get(factor), after.get(factor)
                )
