"""The files of a folder, by a layout: clean pictures with their degraded versions, and what does not fit."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from tqdm import tqdm

from restore_lightning.data.layouts import Layout, Part, compiled
from restore_lightning.data.pictures import HDF5, Picture, View
from restore_lightning.data.recipes import TAR_BLOCKS, Member, state_of
from restore_lightning.data.shards import CLEAN, DEGRADED
from restore_lightning.errors import UserError, shortened
from restore_lightning.images import EXTENSIONS, to_array

Store = Literal["arrays", "files"]


class Sample(NamedTuple):
    """A clean picture and its degraded versions; a `Recipe`.

    Args:
        split: Which part of the set it belongs to.
        name: Unique in its split.
        sequence: Of a video; "" otherwise.
        root: What the paths in the manifest are relative to.
        clean: The clean picture.
        degraded: Its versions.
        shapes: (height, width) of the clean picture and of each version.
        store: Arrays, or the files as they are.
    """

    split: str
    name: str
    sequence: str
    root: str
    clean: Picture
    degraded: tuple[Picture, ...]
    shapes: tuple[tuple[int, int], ...] = ()
    store: Store = "arrays"

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of them."""
        return (self.clean, *self.degraded)

    @property
    def bytes(self) -> int:
        """How much it will hold, nearly."""
        if self.store == "files":
            return sum(Path(picture.path).stat().st_size + TAR_BLOCKS for picture in self.pictures)
        depths = [4 if picture.view.array else 1 for picture in self.pictures]
        return sum(h * w * 3 * depth + TAR_BLOCKS for (h, w), depth in zip(self.shapes, depths, strict=True))

    def state(self) -> str:
        """Changes when a file does."""
        return repr((*self, [state_of(picture.path) for picture in self.pictures]))

    def members(self) -> list[Member]:
        """Read the pictures."""
        many = len(self.degraded) > 1
        numbered = [f"{DEGRADED}-{i:02d}" if many else DEGRADED for i in range(1, len(self.degraded) + 1)]
        return [self._member(*named) for named in zip([CLEAN, *numbered], self.pictures, strict=True)]

    def _member(self, version: str, picture: Picture) -> Member:
        image = picture.read()  # what is kept as a file is known to be one
        shape = (image.shape[1], image.shape[2])
        about = {"source": os.path.relpath(picture.path, self.root)}
        if self.store == "arrays":
            return Member(version, to_array(image), shape, about=about)
        path = Path(picture.path)
        suffix = path.suffix.lower().lstrip(".")
        return Member(version, path.read_bytes(), shape, suffix, view=picture.view, about=about)


def arrange(
    given: Layout,
    root: Path,
    split: str | None = None,
    size: tuple[int, int] | None = None,
    store: Store = "arrays",
    threads: int = 8,
) -> tuple[list[Sample], list[str]]:
    """The samples below a folder.

    Args:
        given: How the folder is laid out.
        root: The folder.
        split: What every sample's split shall be; None: as the layout says.
        size: (width, height) that every picture is resized to; None: as it is.
        store: What packing them keeps.
        threads: That read headers.

    Returns:
        The samples by split and name, and what does not fit, one line each: files without counterpart, of wrong size,
        or that cannot be read.

    Raises:
        UserError: No such folder, or nothing in it fits the layout.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give the one that holds the data set")
    files = _files(root, HDF5 if given.arrays else EXTENSIONS)
    matches, problems = _matched(given, files)
    if not matches:
        wanted = "; ".join(f"{kind} {pattern}" for kind, pattern in _patterns(given))
        lacking = f": {shortened(problems)}" if problems else ""
        raise UserError(
            f"none of the {len(files)} images below {root} is where {given.name} has them ({wanted}){lacking};"
            " `restore shards layouts` lists the layouts"
        )
    samples = [_sample(given, match, root, split, size, store) for match in matches]
    samples, misfits = _measured(samples, given.border, threads)
    order = {name: i for i, name in enumerate(dict.fromkeys(sample.split for sample in samples))}
    samples.sort(key=lambda sample: (order[sample.split], natural(sample.name)))
    return samples, problems + misfits


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people count: 2 before 10.

    >>> sorted(["a10", "a2"], key=natural)
    ['a2', 'a10']
    """
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def _files(root: Path, suffixes: frozenset[str]) -> list[str]:
    """Paths below the root, sorted; links to folders are followed, hidden files and folders are left out."""
    found = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        above = os.path.relpath(folder, root)
        for name in names:
            if PurePosixPath(name).suffix.lower() in suffixes and not name.startswith("."):
                found.append(name if above == "." else f"{above}/{name}")
    return sorted(found, key=natural)


def _patterns(given: Layout) -> list[tuple[str, str]]:
    kinds = [(kind, getattr(part, kind)) for part in given.parts for kind in (DEGRADED, CLEAN)]
    return list(dict.fromkeys((kind, pattern) for kind, pattern in kinds if pattern is not None))


class _Match(NamedTuple):
    """A clean file, its degraded ones, and the fields of the clean file's path."""

    clean: str
    degraded: list[str]
    fields: dict[str, str]
    split: str


def _matched(given: Layout, files: Sequence[str]) -> tuple[list[_Match], list[str]]:
    """Clean files with their degraded ones, and what fits nothing although others in its folder do."""
    matches: list[_Match] = []
    problems: list[str] = []
    taken: set[str] = set()
    alone: dict[str, None] = {}
    for part in given.parts:
        degraded = [f for f in _fitting(part.degraded, files) if f[0] not in taken]
        taken.update(path for path, _ in degraded)
        if part.clean is None:  # both images are in one file
            matches += [_Match(path, [path], fields, _split(given, part, fields)) for path, fields in degraded]
            continue
        clean = [f for f in _fitting(part.clean, files) if part.degraded is not None or f[0] not in taken]
        if part.degraded is None:
            taken.update(path for path, _ in clean)
            matches += [_Match(path, [], fields, _split(given, part, fields)) for path, fields in clean]
            continue
        groups = set(compiled(part.clean).groupindex) & set(compiled(part.degraded).groupindex)
        by_key: dict[tuple[str, ...], _Match] = {}
        ambiguous = set()
        for path, fields in clean:
            key = tuple(fields[group] for group in sorted(groups))
            if key in by_key:
                problems.append(f"{path} and {by_key[key].clean} are clean images of one name")
                ambiguous.add(key)
                taken.add(path)
            by_key.setdefault(key, _Match(path, [], fields, ""))
        for path, fields in degraded:
            key = tuple(fields[group] for group in sorted(groups))
            if key in by_key:
                by_key[key].degraded.append(path)
            else:
                problems.append(f"{path} has no clean image ({part.clean})")
        for key in ambiguous:
            taken.add(by_key.pop(key).clean)
        for match in by_key.values():
            if match.degraded:
                matches.append(match._replace(split=_split(given, part, match.fields)))
            else:
                alone.setdefault(match.clean)
    used = {path for match in matches for path in (match.clean, *match.degraded)}
    problems += [f"{path} has no degraded image" for path in alone if path not in used]
    folders = {PurePosixPath(path).parent for path in used}
    known = used | taken | alone.keys()
    problems += [
        f"{path} fits no name of {given.name}"
        for path in files
        if path not in known and PurePosixPath(path).parent in folders
    ]
    if given.versions is not None:
        problems += [
            f"{match.clean} has {len(match.degraded)} of {given.versions} degraded versions"
            for match in matches
            if len(match.degraded) != given.versions
        ]
        matches = [match for match in matches if len(match.degraded) == given.versions]
    return matches, problems


def _fitting(pattern: str | None, files: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    if pattern is None:
        return []
    expression = compiled(pattern)
    found = ((path, expression.fullmatch(str(PurePosixPath(path).with_suffix("")))) for path in files)
    return [(path, {name: value or "" for name, value in match.groupdict().items()}) for path, match in found if match]


def _split(given: Layout, part: Part, fields: Mapping[str, str]) -> str:
    if fields.get("image") in given.test:
        return given.test_split
    return part.split or fields["split"] or "train"


def _sample(
    given: Layout, match: _Match, root: Path, split: str | None, size: tuple[int, int] | None, store: Store
) -> Sample:
    fields = [value for name, value in match.fields.items() if name not in ("above", "split") and value]
    name = (match.fields["above"] + "/".join(fields)).replace(".", "_")
    views = [View(size=size), View(size=size)]
    if given.halves is not None:
        other: Literal["left", "right"] = "right" if given.halves == "left" else "left"
        views = [View(half=other, size=size), View(half=given.halves, size=size)]
    if given.arrays is not None:
        views = [View(array=given.arrays[1], size=size), View(array=given.arrays[0], size=size)]
    clean = Picture(str(root / match.clean), views[0])
    degraded = tuple(Picture(str(root / path), views[1]) for path in match.degraded)
    sequence = match.fields.get("sequence", "")
    return Sample(split or match.split, name, sequence, str(root), clean, degraded, store=store)


def _measured(samples: Sequence[Sample], border: int, threads: int) -> tuple[list[Sample], list[str]]:
    """The samples with their shapes, without those that cannot be read or differ in size or name from what fits."""
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda sample: _with_shapes(sample, border), samples)
        measured = list(tqdm(found, total=len(samples), unit="sample", desc="sizes", disable=None))
    problems = [found for found in measured if isinstance(found, str)]
    good = [found for found in measured if not isinstance(found, str)]
    scales = Counter(_scale(sample) for sample in good)
    usual = max(scales, key=lambda scale: (scales[scale], -scale)) if scales else 1
    kept: dict[tuple[str, str], Sample] = {}
    for sample in good:
        key = (sample.split, sample.name)
        if _scale(sample) != usual:
            problems.append(f"{_sizes(sample)}: elsewhere the clean image is {usual} times as large")
        elif key in kept:
            problems.append(f"{sample.clean.path} and {kept[key].clean.path} would have one name, {sample.name}")
        elif "\n" in sample.name or "\0" in sample.name or not sample.name.isprintable():
            problems.append(f"{sample.clean.path!r} cannot be a name in the set")
        else:
            kept[key] = sample
    return list(kept.values()), problems


def _with_shapes(sample: Sample, border: int) -> Sample | str:
    try:
        clean, *degraded = [picture.shape() for picture in sample.pictures]
        if border and degraded and clean == (degraded[0][0] + 2 * border, degraded[0][1] + 2 * border):
            view = sample.clean.view._replace(border=border)
            sample = sample._replace(clean=sample.clean._replace(view=view))
            clean = sample.clean.shape()
    except UserError as error:
        return str(error)
    sample = sample._replace(shapes=(clean, *degraded))
    return sample if _scale(sample) else f"sizes differ: {_sizes(sample)}"


def _scale(sample: Sample) -> int:
    """How many times larger the clean picture is than each degraded one; 0 where that is no whole number."""
    (height, width), *degraded = sample.shapes
    scales = {height // h for h, _ in degraded} or {1}
    scale = scales.pop()
    return scale if not scales and all((h * scale, w * scale) == (height, width) for h, w in degraded) else 0


def _sizes(sample: Sample) -> str:
    named = zip(sample.pictures, sample.shapes, strict=True)
    return ", ".join(dict.fromkeys(f"{picture.path} is {width}x{height}" for picture, (height, width) in named))
