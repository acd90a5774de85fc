"""How published data sets are laid out in folders. The layouts themselves are in `layouts.yaml`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from restore_lightning.errors import UserError, did_you_mean
from restore_lightning.io.yaml_text import load_yaml

FIELD = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[\d,]+\})+))?\}")


class Part(NamedTuple):
    """Files of one kind, as patterns of their paths below the root, without suffix.

    A pattern is a regular expression in which `{field}` is some text without a slash and `{field:EXPRESSION}` what the
    expression says; case does not matter. A degraded file belongs to the clean one whose fields it has; folders above
    are free. The field `factors` of a degraded image, names joined by "_", is what its version is called.

    Args:
        degraded: Of degraded images; None: there are only clean ones.
        clean: Of clean ones; None: a degraded file holds the clean image too.
        split: Which they are: "train", "val", "test" or another word; None: the field `split` says it.
        list: Of a text file that names those of the images that are of this part; None: all are.
    """

    degraded: str | None = None
    clean: str | None = None
    split: str | None = None
    list: str | None = None


@dataclass(frozen=True)
class Layout:
    """How a data set is laid out in folders.

    Args:
        name: What it is called on the command line.
        about: Which data set, and how the papers use it.
        parts: Kinds of files; a file is of the first one that it fits.
        border: Pixels at each side that only the clean images have.
        halves: Each file holds two images side by side: the degraded one on the "left" or on the "right".
        arrays: (degraded, clean): names of arrays in HDF5 files.
        versions: How many degraded versions a clean image has; None: any number.
        test: A regular expression: which values of the field `image` among those for training are for `test_split`.
        test_split: What their split is called.
        ignore: A regular expression of paths that are not part of the data set.
        flat: Whether patterns begin at the root, with no folders above.
    """

    name: str
    about: str
    parts: tuple[Part, ...]
    border: int = 0
    halves: Literal["left", "right"] | None = None
    arrays: tuple[str, str] | None = None
    versions: int | None = None
    test: str | None = None
    test_split: str = "test"
    ignore: str | None = None
    flat: bool = False


def layouts() -> dict[str, Layout]:
    """The published layouts, by name."""
    return _read(Path(__file__).with_name("layouts.yaml"))


def layout(name: str) -> Layout:
    """A published layout, or the only one in a YAML file of one's own.

    Raises:
        UserError: There is none of this name, or the file is no layout.
    """
    if name.endswith((".yaml", ".yml")):
        found = _read(Path(name))
        if len(found) != 1:
            raise UserError(f"{name} holds {len(found)} layouts: give a file with one")
        return next(iter(found.values()))
    known = layouts()
    if name not in known:
        near = did_you_mean(name, known)
        raise UserError(f"layout {name!r}: give one of {', '.join(known)}, or a YAML file of your own{near}")
    return known[name]


def _read(path: Path) -> dict[str, Layout]:
    try:
        stored: Mapping[str, Mapping[str, Any]] = load_yaml(path.read_text(encoding="utf-8"), path)
        return {name: _layout(name, **entry) for name, entry in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError, re.error, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as a layout: {error}") from error


def _layout(
    name: str,
    about: str,
    parts: Sequence[Mapping[str, str]],
    arrays: Sequence[str] | None = None,
    test: Iterable[str | int] = (),
    **options: Any,
) -> Layout:
    made = Layout(
        name,
        about,
        tuple(Part(**part) for part in parts),
        arrays=None if arrays is None else (arrays[0], arrays[1]),
        test="|".join(map(str, test)) or None,
        **options,
    )
    for key, fits in (
        ("border", isinstance(made.border, int) and made.border >= 0),
        ("halves", made.halves in (None, "left", "right")),
        ("arrays", arrays is None or (len(arrays) == 2 and all(isinstance(array, str) for array in arrays))),
        ("versions", made.versions is None or (isinstance(made.versions, int) and made.versions > 0)),
        ("test_split", re.fullmatch(r"\w+", str(made.test_split))),
    ):
        if not fits:
            raise ValueError(f"{name}.{key} {options.get(key, arrays)}: see Layout in layout.py for what it can be")
    for expression in (made.test, made.ignore):
        re.compile(expression or "")
    for part in made.parts:
        compiled(part.list or "")
        patterns = [pattern for pattern in (part.degraded, part.clean) if pattern is not None]
        fields = set.intersection(*(set(compiled(pattern).groupindex) for pattern in patterns))
        if part.clean is not None and part.degraded is not None:
            unknown = set(compiled(part.clean).groupindex) - fields
            if unknown:
                raise ValueError(f"part {part.degraded}: it lacks the clean pattern's {', '.join(sorted(unknown))}")
        if part.split is None and "split" not in fields:
            raise ValueError(f"part {part.degraded or part.clean}: give split, or a field of this name in its patterns")
        if part.split is not None and not re.fullmatch(r"\w+", part.split):
            raise ValueError(f"split {part.split}: give a word")
        if part.clean is None and made.halves is None and made.arrays is None:
            raise ValueError(f"part {part.degraded}: give clean, or halves, or arrays")
    return made


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of `Part` for whole paths; the group `above` is the folders above."""

    def field(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{found[2] or '[^/]+'})"

    return re.compile(f"(?P<above>(?:.*?/)??){FIELD.sub(field, pattern)}", re.IGNORECASE)
