"""Folders of image files: what is in them, what is left out, and images of two folders matched by name."""

import os
import unicodedata
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from restore_lightning.errors import LISTED, UserError, shortened_list
from restore_lightning.io.files import near_path
from restore_lightning.io.image_files import HEIF, SUFFIXES

LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"})
"""What systems leave in folders of photographs; hidden files and folders count as such, too."""


class FolderFiles(NamedTuple):
    """The files below a folder.

    Args:
        images: Those that are images by their suffix, sorted.
        others: All other files, sorted; not those that systems leave behind.
    """

    images: list[Path]
    others: list[Path]


def left_out(others: Sequence[Path]) -> str:
    """What is said of files that are no images.

    >>> left_out([Path("a.txt"), Path("b.mov")])
    '2 files are no images that can be read: a.txt, b.mov'
    """
    are = "1 file is no image" if len(others) == 1 else f"{len(others)} files are no images"
    needs_heif = not SUFFIXES.issuperset(HEIF) and any(path.suffix.lower() in HEIF for path in others)
    hint = "; .heic needs pip install 'restore-lightning[heif]'" if needs_heif else ""
    return f"{are} that can be read: {shortened_list(list(map(str, others)), 3)}{hint}"


def several_pictures(counts: Mapping[str, int]) -> str:
    """What is said of files with further frames or pages, path -> how many pictures there are."""
    named = [f"{path} ({count})" for path, count in counts.items()]
    hold = "1 file holds" if len(named) == 1 else f"{len(named)} files hold"
    return f"{hold} several pictures, the first is taken: {shortened_list(named, LISTED)}"


def find_images(folder: Path, suffixes: Collection[str] = SUFFIXES, without: Path | None = None) -> FolderFiles:
    """The image files below a folder, by suffix.

    Linked folders are followed, once each, and after those that lie within. Hidden files and folders, and what systems
    leave behind, are left out.

    Args:
        folder: The folder.
        suffixes: What images are.
        without: A folder that is not looked into.

    Raises:
        UserError: A folder cannot be read.
    """
    images: list[Path] = []
    others: list[Path] = []
    seen = set() if without is None else {_identity(without)}
    folders, linked = deque([folder]), deque[Path]()
    while folders or linked:
        here = folders.popleft() if folders else linked.popleft()
        identity = _identity(here)
        if identity in seen and identity is not None:
            continue
        seen.add(identity)
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            if here != folder:
                others.append(here)
                continue
            raise UserError(f"{here} cannot be read: {error.strerror}", exit_code=1) from error
        for entry in entries:
            path = Path(entry)
            if entry.name.startswith(".") or entry.name.lower() in LEFT_BY_SYSTEMS:
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself, say: missed where it is read
                is_folder, is_file = False, True
            if is_folder:
                (linked if entry.is_symlink() else folders).append(path)
            elif is_file or entry.is_symlink():  # one that leads nowhere is missed where it is read
                (images if path.suffix.lower() in suffixes else others).append(path)
    return FolderFiles(sorted(images), sorted(others))


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a folder from all others, by whatever path; None: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Matches(NamedTuple):
    """The images of two folders, or two files.

    Args:
        pairs: Name -> the file of each folder. The name is the path within the folder, without suffix.
        alone: Folder -> its images that the other one lacks.
        others: Files in them that are no images.
    """

    pairs: dict[str, tuple[Path, Path]]
    alone: dict[Path, list[Path]]
    others: list[Path]

    def problems(self) -> list[str]:
        """A line for each folder with images that the other one lacks."""
        return [
            f"{len(paths)} of {len(paths) + len(self.pairs)} have no partner in {other}:"
            f" {shortened_list(list(map(str, paths)), LISTED)}"
            for paths, other in zip(self.alone.values(), reversed(self.alone), strict=True)
            if paths
        ]


def match(first: Path, second: Path) -> Matches:
    """Pair the images of two folders by their path without suffix; or two files, whatever their names.

    Names that differ in how Unicode composes their letters are one, as macOS and others write them, unless a folder
    holds both.

    Raises:
        UserError: A folder or file that is not there, a folder beside a file, a folder without images, or with two
            images of one name.
    """
    for path in (first, second):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder{near_path(path)}")
    if first.is_file() and second.is_file():
        return Matches({first.stem: (first, second)}, {}, [])
    if first.is_file() or second.is_file():
        raise UserError(f"{first} and {second}: give two folders, or two files")
    (ours, others), (theirs, their_others) = _by_name(first), _by_name(second)
    partners = {name: name for name in ours if name in theirs}
    composed = _composed([name for name in theirs if name not in partners])
    for form, name in _composed([name for name in ours if name not in partners]).items():
        if form in composed:
            partners[name] = composed[form]
    return Matches(
        {name: (ours[name], theirs[partners[name]]) for name in ours if name in partners},
        {
            first: [path for name, path in ours.items() if name not in partners],
            second: [path for name, path in theirs.items() if name not in set(partners.values())],
        },
        [*others, *(path for path in their_others if path not in others)],
    )


def _composed(names: Sequence[str]) -> dict[str, str]:
    """Names by their composed form, without those that share one."""
    forms = [unicodedata.normalize("NFC", name) for name in names]
    counts = Counter(forms)
    return {form: name for form, name in zip(forms, names, strict=True) if counts[form] == 1}


def _by_name(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """The images by name, and the other files."""
    files = find_images(folder)
    if not files.images:
        raise no_images(folder, files)
    found: dict[str, Path] = {}
    for path in files.images:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{found[name]} and {path} have one name: images are matched by name without suffix")
        found[name] = path
    return found, files.others


def no_images(folder: Path, files: FolderFiles) -> UserError:
    """What is wrong with a folder without images."""
    holds = f" ({left_out(files.others)})" if files.others else ""
    return UserError(f"{folder} holds no images{holds}: give a folder of .png, .jpg, .webp, .tif, ... files")
