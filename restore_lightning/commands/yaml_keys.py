"""Configs, and mappings on the command line, as `load_yaml` reads keys and the parser values."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from restore_lightning.io.yaml_text import load_yaml

_values = get_loader("yaml")


def load_config(text: str, path: object = "") -> Any:
    """See `load_yaml`; the parser takes more values for numbers than YAML does, 1e-4 is one."""
    return load_yaml(text, path, _values)


def use_text_keys() -> None:
    """Let the parser read YAML by `load_config`."""
    set_loader("yaml", load_config, exceptions=(yaml.YAMLError,))
