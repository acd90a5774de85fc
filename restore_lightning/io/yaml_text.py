"""YAML that users write: keys are text as it stands there, each of them once."""

from collections.abc import Callable
from typing import Any

import yaml

from restore_lightning.errors import UserError

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def load_yaml(text: str, path: object = "", load: Callable[[str], Any] = yaml.safe_load) -> Any:
    """A YAML text; a key that YAML takes for a number, a boolean or nothing is the text that stands there.

    Sets are called by their noise levels, and keys of factors, sets and baselines become names in files.

    Args:
        text: The YAML.
        path: The file that it stands in; none: the command line.
        load: Reads the text, once its keys are text.

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
            _check_once(keys, str(path) or "an option's value")
            left += [value for _, value in node.value]
            for key in keys:
                odd = key.tag != TEXT or not key.value[:1].isalpha()  # jsonargparse reads 1e3 as a number too
                if odd and key.style is None:
                    key.tag, key.style, changed = TEXT, "'", True
    return load(yaml.serialize(root) if changed else text)


def _check_once(keys: list[yaml.ScalarNode], where: str) -> None:
    lines: dict[str, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise UserError(
                f"{where}: {key.value!r} stands twice in one mapping, in lines {lines[key.value]} and {line}:"
                " remove one"
            )
        lines[key.value] = line
