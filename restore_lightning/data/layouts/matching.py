"""The files of a folder, by a layout: clean pictures with their degraded versions, and what does not fit."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from tqdm import tqdm

from restore_lightning.data.layouts.layout import Layout, Part, compiled
from restore_lightning.data.shards.reader import CLEAN, DEGRADED
from restore_lightning.data.shards.samples import TAR_BLOCKS, Member, state_of
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.image_files import EXTENSIONS
from restore_lightning.io.images import to_array
from restore_lightning.io.views import HDF5, Picture, View

Store = Literal["arrays", "files"]
SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
"""Other names of splits."""


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
        try:
            return [
                self._member(version, picture, shape)
                for version, picture, shape in zip([CLEAN, *numbered], self.pictures, self.shapes, strict=True)
            ]
        except UserError as error:
            raise UserError(f"{error}{_with_it(len(self.degraded) if many else 0)}", exit_code=1) from error

    def _member(self, version: str, picture: Picture, shape: tuple[int, int]) -> Member:
        image = picture.read()  # what is kept as a file is known to be one
        if (image.shape[1], image.shape[2]) != shape:
            raise UserError(
                f"{picture.path} is {image.shape[2]}x{image.shape[1]}, its header says otherwise", exit_code=1
            )
        about = {"source": os.path.relpath(picture.path, self.root)}
        if self.store == "arrays":
            return Member(version, to_array(image), shape, about=about)
        path = Path(picture.path)
        suffix = path.suffix.lower().lstrip(".")
        return Member(version, path.read_bytes(), shape, suffix, view=picture.view, about=about)


class Matched(NamedTuple):
    """What is below a folder.

    Args:
        samples: By split and name.
        problems: What does not fit, one line each: files without counterpart, of wrong size, or that cannot be read.
        unused: Images in folders that the layout does not know.
    """

    samples: list[Sample]
    problems: list[str]
    unused: list[str]


def arrange(
    given: Layout,
    root: Path,
    split: str | None = None,
    size: tuple[int, int] | None = None,
    store: Store = "arrays",
    threads: int = 8,
) -> Matched:
    """The samples below a folder.

    Args:
        given: How the folder is laid out.
        root: The folder.
        split: What every sample's split shall be; None: as the layout says.
        size: (width, height) that every picture is resized to; None: as it is.
        store: What packing them keeps.
        threads: That read headers.

    Raises:
        UserError: No such folder, or nothing in it fits the layout.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give the one that holds the data set")
    files = _files(root, HDF5 if given.arrays else EXTENSIONS)
    if given.ignore is not None:
        files = [path for path in files if re.fullmatch(given.ignore, _stem(path), re.IGNORECASE) is None]
    matches, problems, unused = _matched(given, files)
    if not matches:
        wanted = "; ".join(f"{kind} {pattern}" for kind, pattern in _patterns(given))
        lacking = f": {shortened_list(problems, 2)}" if problems else ""
        raise UserError(
            f"none of the {len(files)} images below {root} is where {given.name} has them ({wanted}){lacking};"
            " give the folder that holds all of these, or another layout (`restore shards layouts`)"
        )
    samples = [_sample(given, match, root, split, store) for match in matches]
    samples, misfits = _measured(samples, given.border, threads)
    if size is not None:
        samples = [_resized(sample, size) for sample in samples]
    order = {name: i for i, name in enumerate(dict.fromkeys(sample.split for sample in samples))}
    samples.sort(key=lambda sample: (order[sample.split], natural(sample.name)))
    return Matched(samples, problems + misfits, unused)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people count: 2 before 10.

    >>> sorted(["a10", "a2"], key=natural)
    ['a2', 'a10']
    """
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def _files(root: Path, suffixes: frozenset[str]) -> list[str]:
    """Paths below the root, sorted; links to folders are followed, hidden files and folders are left out."""
    found = []
    seen = set()

    def unreadable(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}", exit_code=1) from error

    for folder, subfolders, names in os.walk(root, onerror=unreadable, followlinks=True):
        here = Path(folder).stat()
        if (here.st_dev, here.st_ino) in seen:  # a link to a folder above
            subfolders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
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


_Files = list[tuple[str, dict[str, str]]]
"""Paths and their fields."""


def _matched(given: Layout, files: Sequence[str]) -> tuple[list[_Match], list[str], list[str]]:
    """Clean files with their degraded ones; what does not fit; what lies in folders that nothing is taken from."""
    matches: list[_Match] = []
    problems: list[str] = []
    fitting: set[str] = set()
    taken: set[str] = set()
    alone: dict[str, None] = {}
    for part in given.parts:
        degraded, clean = (
            [found for found in _fitting(pattern, files, given.flat) if found[0] not in taken]
            for pattern in (part.degraded, part.clean)
        )
        fitting.update(path for path, _ in (*degraded, *clean))
        if part.degraded is not None and part.clean is not None:
            found, misfits = _joined(part, degraded, clean)
            problems += misfits
            alone |= {match.clean: None for match in found if not match.degraded}
            found = [match for match in found if match.degraded]
            taken.update(path for path, _ in degraded)
        else:  # there are only clean images, or a file holds both
            both = part.clean is None
            found = [_Match(path, [path] if both else [], fields, "") for path, fields in (*degraded, *clean)]
            taken.update(match.clean for match in found)
        matches += [match._replace(split=_split(given, part, match.fields)) for match in found]
    used = {path for match in matches for path in (match.clean, *match.degraded)}
    problems += [f"{path} has no degraded image" for path in alone if path not in used]
    if given.versions is not None:
        lacking = [match for match in matches if len(match.degraded) != given.versions]
        problems += [f"{m.clean} has {len(m.degraded)} of {given.versions} degraded versions" for m in lacking]
        matches = [match for match in matches if len(match.degraded) == given.versions]
    folders = {PurePosixPath(path).parent for path in fitting}
    rest = [path for path in files if path not in fitting]
    problems += [f"{path} fits no name of {given.name}" for path in rest if PurePosixPath(path).parent in folders]
    return matches, problems, [path for path in rest if PurePosixPath(path).parent not in folders]


def _joined(part: Part, degraded: _Files, clean: _Files) -> tuple[list[_Match], list[str]]:
    """Clean files with the degraded ones of the same fields, and files that fit none or more than one."""
    shared = sorted(compiled(part.clean or "").groupindex.keys() & compiled(part.degraded or "").groupindex.keys())
    by_key: dict[tuple[str, ...], _Match] = {}
    problems: dict[tuple[str, ...], str] = {}
    lost: list[str] = []
    for path, fields in clean:
        key = tuple(fields[field] for field in shared)
        if key in by_key:
            problems[key] = f"{path} and {by_key[key].clean} are clean images of one name"
        by_key.setdefault(key, _Match(path, [], fields, ""))
    versions: dict[tuple[tuple[str, str], ...], str] = {}
    for path, fields in degraded:
        key = tuple(fields[field] for field in shared)
        first = versions.setdefault(tuple(fields.items()), path)
        if key not in by_key:
            lost.append(f"{path} has no clean image ({part.clean})")
        elif first != path:
            problems.setdefault(key, f"{path} and {first} are degraded images of one name")
        else:
            by_key[key].degraded.append(path)
    for key, problem in problems.items():
        lost.append(f"{problem}{_with_it(len(by_key.pop(key).degraded))}")
    return list(by_key.values()), lost


def _with_it(count: int) -> str:
    return f" (with it {count} degraded images are left out)" if count > 1 else ""


def _fitting(pattern: str | None, files: Sequence[str], flat: bool) -> _Files:
    if pattern is None:
        return []
    expression = compiled(pattern)
    found = ((path, expression.fullmatch(_stem(path))) for path in files)
    fields = (
        (path, {name: value or "" for name, value in match.groupdict().items()}) for path, match in found if match
    )
    return [(path, values) for path, values in fields if not (flat and values["above"])]


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _split(given: Layout, part: Part, fields: Mapping[str, str]) -> str:
    if part.split == "train" and given.test is not None and re.fullmatch(given.test, fields.get("image", "")):
        return given.test_split
    found = part.split or fields["split"].lower() or "train"
    return SPLITS.get(found, found)


def _sample(given: Layout, match: _Match, root: Path, split: str | None, store: Store) -> Sample:
    fields = [value for name, value in match.fields.items() if name not in ("above", "split") and value]
    name = (match.fields["above"] + "/".join(fields)).replace(".", "_")
    views = [View(), View()]
    if given.halves is not None:
        other: Literal["left", "right"] = "right" if given.halves == "left" else "left"
        views = [View(half=other), View(half=given.halves)]
    if given.arrays is not None:
        views = [View(array=given.arrays[1]), View(array=given.arrays[0])]
    clean = Picture(str(root / match.clean), views[0])
    degraded = tuple(Picture(str(root / path), views[1]) for path in match.degraded)
    sequence = match.fields.get("sequence", "")
    return Sample(split or match.split, name, sequence, str(root), clean, degraded, store=store)


def _resized(sample: Sample, size: tuple[int, int]) -> Sample:
    if _scale(sample) != 1:
        raise UserError(
            f"--size {size[0]}x{size[1]}: the clean images are {_scale(sample)} times as large as the degraded ones;"
            " leave it out"
        )
    clean, *degraded = [picture._replace(view=picture.view._replace(size=size)) for picture in sample.pictures]
    return sample._replace(clean=clean, degraded=tuple(degraded), shapes=((size[1], size[0]),) * (1 + len(degraded)))


def _measured(samples: Sequence[Sample], border: int, threads: int) -> tuple[list[Sample], list[str]]:
    """The samples with their shapes, without what cannot be read or differs in size or name from what fits."""
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda sample: _with_shapes(sample, border), samples)
        measured = list(tqdm(found, total=len(samples), unit="sample", desc="sizes", disable=None))
    problems = [problem for _, misfits in measured for problem in misfits]
    good = [sample for sample, _ in measured if sample is not None]
    scales = Counter(_scale(sample) for sample in good)
    usual = max(scales, key=lambda scale: (scales[scale], -scale)) if scales else 1
    kept: dict[tuple[str, str], Sample] = {}
    for sample in good:
        key, lost = (sample.split, sample.name), _with_it(len(sample.degraded))
        if _scale(sample) != usual:
            problems.append(f"{_sizes(sample)}: elsewhere the clean image is {usual} times as large{lost}")
        elif key in kept:
            problems.append(f"{sample.clean.path} and {kept[key].clean.path} would have one name, {sample.name}{lost}")
        elif not sample.name.isprintable() or not re.fullmatch(r"\w+", sample.split):
            problems.append(f"{sample.clean.path!r}: its name or split cannot be one in the set{lost}")
        else:
            kept[key] = sample
    return list(kept.values()), problems


def _with_shapes(sample: Sample, border: int) -> tuple[Sample | None, list[str]]:
    """The sample with its shapes and with what can be read of it, and what cannot."""
    try:
        clean = sample.clean.shape()
    except UserError as error:
        return None, [f"{error}{_with_it(len(sample.degraded))}"]
    pictures: list[Picture] = []
    shapes: list[tuple[int, int]] = []
    problems: list[str] = []
    for picture in sample.degraded:
        try:
            shapes.append(picture.shape())
            pictures.append(picture)
        except UserError as error:
            problems.append(str(error))
    if sample.degraded and not pictures:
        return None, problems
    if border and shapes and all(clean == (height + 2 * border, width + 2 * border) for height, width in shapes):
        cut = sample.clean.view._replace(border=border)
        sample = sample._replace(clean=sample.clean._replace(view=cut))
        clean = shapes[0]
    sample = sample._replace(degraded=tuple(pictures), shapes=(clean, *shapes))
    if _scale(sample):
        return sample, problems
    return None, [*problems, f"sizes differ: {_sizes(sample)}"]


def _scale(sample: Sample) -> int:
    """How many times larger the clean picture is than each degraded one; 0 where that is no whole number."""
    (height, width), *degraded = sample.shapes
    scales = {height // h for h, _ in degraded} or {1}
    scale = scales.pop()
    return scale if not scales and all((h * scale, w * scale) == (height, width) for h, w in degraded) else 0


def _sizes(sample: Sample) -> str:
    named = zip(sample.pictures, sample.shapes, strict=True)
    return ", ".join(dict.fromkeys(f"{picture.path} is {width}x{height}" for picture, (height, width) in named))
