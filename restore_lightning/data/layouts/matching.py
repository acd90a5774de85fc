"""The files of a folder, by a layout: clean images with their degraded versions, and what does not fit."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from restore_lightning.data.layouts.folder_sample import FolderSample, Store, left_out_too, measure
from restore_lightning.data.layouts.layout import Layout, Part, compiled
from restore_lightning.data.shards.reader import CLEAN, DEGRADED
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.file_views import HDF5, FileView, View
from restore_lightning.io.files import check_is_folder
from restore_lightning.io.image_files import SUFFIXES
from restore_lightning.io.image_folders import find_images
from restore_lightning.io.image_lists import Listed, listed_images

SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
"""Other names of splits."""
WORDS = frozenset(SPLITS) | frozenset(SPLITS.values())


class FolderMatch(NamedTuple):
    """What is below a folder.

    Args:
        samples: By split and name.
        problems: What does not fit, one line each: files without counterpart, of wrong size, or that cannot be read.
        unused: Images in folders that the layout does not know.
        others: Files that are no images.
        several: Files that hold several pictures, of which the first is taken -> how many.
    """

    samples: list[FolderSample]
    problems: list[str]
    unused: list[str]
    others: list[Path]
    several: dict[str, int]


def match_folder(
    given: Layout,
    root: Path,
    split: str | None = None,
    size: tuple[int, int] | None = None,
    store: Store = "arrays",
    threads: int = 8,
    image_list: Path | None = None,
) -> FolderMatch:
    """The samples below a folder.

    Args:
        given: How the folder is laid out.
        root: The folder.
        split: What every sample's split shall be; None: as the layout says.
        size: (width, height) that every image is resized to; None: as it is.
        store: What packing them keeps.
        threads: That read headers.
        image_list: A text file that names the images which are taken, see `listed_images`; None: all are.

    Raises:
        UserError: No such folder, nothing in it fits the layout, or a list is missing.
    """
    check_is_folder(root, "the one that holds the data set")
    images, others = find_images(root, HDF5 if given.arrays else SUFFIXES)
    files = sorted((path.relative_to(root).as_posix() for path in images), key=natural)
    if given.ignore is not None:
        files = [path for path in files if re.fullmatch(given.ignore, _stem(path), re.IGNORECASE) is None]
    lists = _lists(given, root, others)
    by_kind = [] if image_list is None else _by_kind(given, files)
    named = None if image_list is None else listed_images(image_list, by_kind)
    above = [part.lower() for part in root.resolve().parts[-3:] if part.lower() in WORDS]
    matches, problems, unused = _match_files(given, files, lists, None if named is None else named.paths)
    unsaid = SPLITS.get(above[-1], above[-1]) if above else "train"
    matches = [match if match.split else match._replace(split=unsaid) for match in matches]
    problems += [] if named is None else named.problems
    if not matches:
        lacking = f": {shortened_list(problems, 2)}" if problems else ""
        example = next(chain(*by_kind[:2]), None)
        if example is not None:
            raise UserError(
                f"nothing that {image_list} names can be taken as {given.name} of {root}{lacking}; name images by the"
                f" ends of their paths, such as {example}"
            )
        wanted = "; ".join(f"{kind} {pattern}" for kind, pattern in _patterns(given))
        raise UserError(
            f"none of the {len(files)} images below {root} is where {given.name} has them ({wanted}){lacking};"
            " give the folder that holds all of these, or another layout (`restore shards layouts`)"
        )
    others = [path for path in others if path not in {*lists.values(), image_list}]
    samples = [_sample(given, match, root, split, store) for match in matches]
    samples, misfits, several = measure(samples, given.border, threads)
    if size is not None:
        samples = [sample.resized(size) for sample in samples]
    order = {name: i for i, name in enumerate(dict.fromkeys(sample.split for sample in samples))}
    samples.sort(key=lambda sample: (order[sample.split], natural(sample.name)))
    return FolderMatch(samples, problems + misfits, unused, others, several)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people count: 2 before 10.

    >>> sorted(["a10", "a2"], key=natural)
    ['a2', 'a10']
    """
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def _patterns(given: Layout) -> list[tuple[str, str]]:
    kinds = [(kind, getattr(part, kind)) for part in given.parts for kind in (DEGRADED, CLEAN)]
    return list(dict.fromkeys((kind, pattern) for kind, pattern in kinds if pattern is not None))


class _Match(NamedTuple):
    """A clean file, its degraded ones and what each is called, and the fields of the clean file's path."""

    clean: str
    degraded: list[str]
    versions: list[str]
    fields: dict[str, str]
    split: str


_Files = list[tuple[str, dict[str, str]]]
"""Paths and their fields."""


def _lists(given: Layout, root: Path, others: Sequence[Path]) -> dict[str, Path]:
    """Pattern of a list -> the file, of those that are there."""
    patterns = [part.list for part in given.parts if part.list is not None]
    stems = {path: _stem(path.relative_to(root).as_posix()) for path in others}
    fitting = ((pattern, path) for pattern in patterns for path in others if compiled(pattern).fullmatch(stems[path]))
    return dict(fitting)


def _by_kind(given: Layout, files: Sequence[str]) -> list[list[str]]:
    """Degraded files, clean ones, and each other one: what a name in a list may be one of each."""
    kinds = [
        {path for part in given.parts for path, _ in _files_of(getattr(part, kind), files, given.flat)}
        for kind in (DEGRADED, CLEAN)
    ]
    return [*map(sorted, kinds), *([path] for path in files if not any(path in kind for kind in kinds))]


def _listed(pattern: str, lists: Mapping[str, Path], folders: Sequence[Sequence[str]]) -> Listed:
    """What the list of a part says of its images, the degraded and the clean ones."""
    if pattern not in lists:
        raise UserError(
            f"there is no list {pattern}.txt, which says what {next(chain(*folders))} and others are for: give the"
            " folder that holds it too"
        )
    return listed_images(lists[pattern], folders)


def _match_files(
    given: Layout, files: Sequence[str], lists: Mapping[str, Path], named: set[str] | None
) -> tuple[list[_Match], list[str], list[str]]:
    """Clean files with their degraded ones; what does not fit; what is in no list or lies where nothing is taken from.

    Args:
        given: The layout.
        files: Paths.
        lists: As `_lists` found them.
        named: Files that the user's list names; None: there is none.

    Raises:
        UserError: A list is missing.
    """
    matches: list[_Match] = []
    problems: list[str] = []
    fitting: set[str] = set()
    taken: set[str] = set()
    alone: dict[str, str] = {}
    for part in given.parts:
        degraded, clean = (
            [found for found in _files_of(pattern, files, given.flat) if found[0] not in taken]
            for pattern in (part.degraded, part.clean)
        )
        fitting.update(path for path, _ in (*degraded, *clean))
        chosen = [] if named is None else [named]
        if part.list is not None and (degraded or clean):
            listed = _listed(part.list, lists, [[path for path, _ in kind] for kind in (degraded, clean)])
            problems += listed.problems
            chosen.append(listed.paths)
        by_clean = False
        for paths in chosen:
            degraded, clean, by_clean = _only_named(paths, degraded, clean)
        if part.degraded is not None and part.clean is not None:
            found, misfits = _join_versions(part, degraded, clean)
            if not (chosen and by_clean):  # a list of clean images says nothing of degraded ones without them
                problems += misfits
            lonely = [match.clean for match in found if not match.degraded]
            if not chosen:
                alone |= dict.fromkeys(lonely, f"has no degraded image ({part.degraded})")
            elif named is not None:
                alone |= dict.fromkeys(
                    (path for path in lonely if path in named), "is named, but no degraded image of it"
                )
            found = [match for match in found if match.degraded]
            taken.update(path for path, _ in degraded)
        else:  # there are only clean images, or a file holds both
            both = part.clean is None
            found = [
                _Match(path, [path] if both else [], [""] if both else [], fields, "")
                for path, fields in (*degraded, *clean)
            ]
            taken.update(match.clean for match in found)
        matches += [match._replace(split=_split(given, part, match.fields)) for match in found]
    used = {path for match in matches for path in (match.clean, *match.degraded)}
    problems += [f"{path} {lack}" for path, lack in alone.items() if path not in used]
    if given.versions is not None:
        lacking = [match for match in matches if len(match.degraded) != given.versions]
        problems += [f"{m.clean} has {len(m.degraded)} of {given.versions} degraded versions" for m in lacking]
        matches = [match for match in matches if len(match.degraded) == given.versions]
    folders = {PurePosixPath(path).parent for path in fitting}
    rest = [path for path in files if path not in fitting]
    problems += [f"{path} fits no name of {given.name}" for path in rest if PurePosixPath(path).parent in folders]
    unused = [path for path in rest if PurePosixPath(path).parent not in folders]
    unlisted = fitting - used if lists else set()
    return matches, problems, [*unused, *(path for path in files if path in unlisted)]


def _only_named(named: set[str], degraded: "_Files", clean: "_Files") -> tuple["_Files", "_Files", bool]:
    """The degraded files that a list names, else all of the clean files that it names; and whether it is the latter.

    A degraded image's clean one needs no name of its own.
    """
    chosen = [file for file in degraded if file[0] in named]
    if chosen:
        return chosen, clean, False
    named_clean = [file for file in clean if file[0] in named]
    return degraded if named_clean else [], named_clean, True


def _join_versions(part: Part, degraded: _Files, clean: _Files) -> tuple[list[_Match], list[str]]:
    """Clean files with the degraded ones of the same fields, and files that fit none or more than one."""
    shared = sorted(compiled(part.clean or "").groupindex.keys() & compiled(part.degraded or "").groupindex.keys())
    by_key: dict[tuple[str, ...], _Match] = {}
    problems: dict[tuple[str, ...], str] = {}
    lost: list[str] = []
    for path, fields in clean:
        key = tuple(fields[field] for field in shared)
        if key in by_key:
            problems[key] = f"{path} and {by_key[key].clean} are clean images of one name"
        by_key.setdefault(key, _Match(path, [], [], fields, ""))
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
            by_key[key].versions.append(fields.get("factors", "").lower())
    for key, problem in problems.items():
        lost.append(f"{problem}{left_out_too(len(by_key.pop(key).degraded))}")
    return list(by_key.values()), lost


def _files_of(pattern: str | None, files: Sequence[str], flat: bool) -> _Files:
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
    found = part.split or fields["split"].lower()
    return SPLITS.get(found, found)


def _sample(given: Layout, match: _Match, root: Path, split: str | None, store: Store) -> FolderSample:
    fields = [value for name, value in match.fields.items() if name not in ("above", "split") and value]
    name = (match.fields["above"] + "/".join(fields)).replace(".", "_")
    views = [View(), View()]
    if given.halves is not None:
        other: Literal["left", "right"] = "right" if given.halves == "left" else "left"
        views = [View(half=other), View(half=given.halves)]
    if given.arrays is not None:
        views = [View(array=given.arrays[1]), View(array=given.arrays[0])]
    clean = FileView(str(root / match.clean), views[0])
    degraded = tuple(FileView(str(root / path), views[1]) for path in match.degraded)
    sequence = match.fields.get("sequence", "")
    versions = tuple(match.versions) if all(match.versions) else ()
    return FolderSample(
        split or match.split, name, sequence, str(root), clean, degraded, versions=versions, store=store
    )
