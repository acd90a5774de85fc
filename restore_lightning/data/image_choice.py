"""Which images of a folder are used, and which clean image belongs to a degraded one of another name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from restore_lightning.errors import LISTED, UserError, shortened_list
from restore_lightning.io.files import check_is_folder, user_path
from restore_lightning.io.image_folders import find_images, no_images
from restore_lightning.io.image_lists import listed_images

FOLDERS_ABOVE = 3
"""Folders above the given one by which a list may name an image."""


@dataclass(frozen=True)
class ImageChoice:
    """What a user says of the images of folders.

    Args:
        image_list: A text file that names those that are used; None: all are.
        counterpart: A regular expression of a degraded image's path within its folder, without suffix, and the clean
            one's, with groups as in `re.sub`; None: they have the same.
    """

    image_list: Path | None = None
    counterpart: tuple[str, str] | None = None

    def of(self, folder: Path, paths: Sequence[Path]) -> list[Path]:
        """The images of a folder that are used.

        Raises:
            UserError: The list names others.
        """
        if self.image_list is None:
            return list(paths)
        named = _named(self.image_list, {folder: paths})
        return [path for path in paths if path in named]

    def pairs(self, degraded: Path, clean: Path) -> list[tuple[str, Path, Path]]:
        """Name, degraded and clean file of each pair of two folders.

        A list may name degraded images, or clean ones for all that belong to them.

        Raises:
            UserError: A folder without images, names that do not fit, images without counterpart.
        """
        files = {folder: _images(folder) for folder in (degraded, clean)}
        named = None if self.image_list is None else _named(self.image_list, files)
        by_name: dict[str, list[Path]] = {}
        for path in files[clean]:
            by_name.setdefault(_name(path, clean), []).append(path)
        pairs: list[tuple[str, Path, Path]] = []
        problems: list[str] = []
        for path in files[degraded]:
            name = _name(path, degraded)
            wanted = self._counterpart(name)
            fitting = found = by_name.get(wanted or "", [])
            if len(found) > 1:  # of images that differ in their suffix alone, the one with the degraded image's
                fitting = [file for file in found if file.suffix.lower() == path.suffix.lower()]
            if len(fitting) == 1:
                pairs.append((name, path, fitting[0]))
            elif named is None or path in named:
                why = f"its name fits no {self.counterpart}" if wanted is None else f"no {wanted} in {clean}"
                problems.append(f"{path} ({f'{len(found)} are called {wanted}' if len(found) > 1 else why})")
        used = {_name(pair[2], clean) for pair in pairs}
        unused = [found for name, found in sorted(by_name.items()) if name not in used]
        if named is not None:
            by_list = [pair for pair in pairs if pair[1] in named]
            pairs = by_list or [pair for pair in pairs if pair[2] in named]
            unused = [found for found in unused if not named.isdisjoint(found)]
        problems += [f"{found[0]} (none of {degraded} belongs to it)" for found in unused]
        if problems:
            raise UserError(f"{len(problems)} images have no counterpart: {shortened_list(problems, LISTED)}")
        return pairs

    def _counterpart(self, name: str) -> str | None:
        """What the clean image is called; None: the name does not fit."""
        if self.counterpart is None:
            return name
        match = re.fullmatch(self.counterpart[0], name)
        return None if match is None else match.expand(self.counterpart[1])


EVERY_IMAGE = ImageChoice()
"""All images, those of one name together."""


def image_choice(where: str, image_list: str | None, counterpart: Sequence[str] | None) -> ImageChoice:
    """What a user says, checked.

    Args:
        where: The key above both, for messages.
        image_list: Path of a list.
        counterpart: Two expressions.

    Raises:
        UserError: It is no pair of expressions.
    """
    listed = None if image_list is None else user_path(image_list)
    if counterpart is None:
        return ImageChoice(listed)
    try:
        pattern, name = counterpart
        re.compile(pattern).sub(name, "")
    except (ValueError, re.error, IndexError) as error:
        raise UserError(
            f"{where}.counterpart {counterpart}: give a regular expression of the degraded image's name and the clean"
            rf" one's name, e.g. ['(\d+)_.*', '\1'] ({error})"
        ) from error
    return ImageChoice(listed, (pattern, name))


def _named(image_list: Path, files: Mapping[Path, Sequence[Path]]) -> set[Path]:
    folders: list[dict[str, Path]] = []
    for folder, found in files.items():
        above = "/".join(folder.resolve().parts[1:][-FOLDERS_ABOVE:])
        folders.append({f"{above}/{path.relative_to(folder).as_posix()}": path for path in found})
    listed = listed_images(image_list, folders)
    if listed.problems:
        raise UserError(f"{len(listed.problems)} names do not fit: {shortened_list(listed.problems)}", exit_code=1)
    return {path for paths in folders for name, path in paths.items() if name in listed.paths}


def _images(folder: Path) -> list[Path]:
    check_is_folder(folder, "a folder of images")
    files = find_images(folder)
    if not files.images:
        raise no_images(folder, files)
    return files.images


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
