"""A run's settings by their dotted names, as processes and resumed runs compare them."""

from collections.abc import Iterator, Mapping
from typing import Any

PLACES = {"default_root_dir", "root", "clean", "degraded", "shards", "init_from", "checkpoint", "logger", "config"}
"""Last words of names that say where files lie, which may differ between machines."""

EARLIER = {"model.init_args.compile": False}
"""What a checkpoint means that was written before there was such a setting."""

RENAMED = {"restore_lightning.tasks.SingleFactorTask": "restore_lightning.tasks.ImageToImageTask"}
"""Tasks by what earlier configs and checkpoints call them."""


def flatten_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config that all processes of a run share: dotted name -> plain value."""
    return {name: value for name, value in _flat(config) if name.rpartition(".")[2] not in PLACES}


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `flatten_config` says of a config of an earlier version, or a checkpoint's, as this version says it."""
    task = settings.get("model.class_path")
    renamed = {"model.class_path": RENAMED[task]} if task in RENAMED else {}
    return {**EARLIER, **settings, **renamed}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
