"""Keys of configs and of mappings on the command line: text as it is written, each of them once."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from restore_lightning.errors import UserError

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_load = get_loader("yaml")


def use_text_keys() -> None:
    """Let the parser read YAML by `load_yaml`."""
    set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))


def load_yaml(text: str) -> Any:
    """A YAML text; a key that YAML takes for a number, a boolean or nothing is the text that stands there.

    Sets are called by their noise levels, and keys of factors, sets and baselines become names in files.

    >>> load_yaml("{25: {yes: 1}, 050: 2}")
    {'25': {'yes': 1}, '050': 2}

    Raises:
        UserError: A key stands twice in a mapping; YAML takes the last one without a word.
        yaml.YAMLError: It is no YAML.
    """
    root, changed = yaml.compose(text, Loader=yaml.SafeLoader), False
    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != MERGE]
            _check_once(keys)
            left += [value for _, value in node.value]
            for key in keys:
                changed |= key.tag != TEXT
                key.tag = TEXT
    return _load(yaml.serialize(root) if changed else text)


def _check_once(keys: list[yaml.ScalarNode]) -> None:
    lines: dict[str, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise UserError(
                f"the key {key.value!r} stands twice in one mapping, in lines {lines[key.value]} and {line}"
                " of the config (or of an option's value): remove one of them"
            )
        lines[key.value] = line
