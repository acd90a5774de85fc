"""Samples that consist of files of a folder, and whether the sizes of these fit."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm import tqdm

from restore_lightning.data.shards.reader import CLEAN, DEGRADED
from restore_lightning.data.shards.samples import TAR_BLOCKS, Member, file_state
from restore_lightning.errors import UserError
from restore_lightning.io.file_views import FileView
from restore_lightning.io.images import to_array

Store = Literal["arrays", "files"]


class FolderSample(NamedTuple):
    """A clean image and its degraded versions; a `Sample`.

    Args:
        split: Which part of the set it belongs to.
        name: Unique in its split.
        sequence: The video that it is a frame of; "" otherwise.
        root: What the paths in the manifest are relative to.
        clean: The clean image.
        degraded: Its versions.
        versions: What each version is called, its factors joined by "_"; nothing: they are numbered.
        shapes: (height, width) of the clean image and of each version, once they are measured.
        store: Arrays, or the files as they are.
    """

    split: str
    name: str
    sequence: str
    root: str
    clean: FileView
    degraded: tuple[FileView, ...]
    versions: tuple[str, ...] = ()
    shapes: tuple[tuple[int, int], ...] = ()
    store: Store = "arrays"

    @property
    def files(self) -> tuple[FileView, ...]:
        """All of its images."""
        return (self.clean, *self.degraded)

    @property
    def bytes(self) -> int:
        """How much it will hold, nearly."""
        if self.store == "files":
            return sum(Path(file.path).stat().st_size + TAR_BLOCKS for file in self.files)
        depths = [4 if file.view.array else 1 for file in self.files]
        return sum(h * w * 3 * depth + TAR_BLOCKS for (h, w), depth in zip(self.shapes, depths, strict=True))

    @property
    def scale(self) -> int:
        """How many times larger the clean image is than each degraded one; 0 where that is no whole number."""
        (height, width), *degraded = self.shapes
        scales = {height // h for h, _ in degraded} or {1}
        scale = scales.pop()
        return scale if not scales and all((h * scale, w * scale) == (height, width) for h, w in degraded) else 0

    def state(self) -> str:
        """What changes when a file does."""
        return repr((*self, [file_state(file.path) for file in self.files]))

    def members(self) -> list[Member]:
        """Read the images."""
        many = len(self.degraded) > 1
        numbered = [f"{DEGRADED}-{i:02d}" if many else DEGRADED for i in range(1, len(self.degraded) + 1)]
        named = self.versions or numbered
        try:
            return [
                self._member(version, file, shape)
                for version, file, shape in zip([CLEAN, *named], self.files, self.shapes, strict=True)
            ]
        except UserError as error:
            raise UserError(f"{error}{left_out_too(len(self.degraded))}", exit_code=1) from error

    def _member(self, version: str, file: FileView, shape: tuple[int, int]) -> Member:
        image = file.read()  # what is kept as a file is known to be one
        if (image.shape[1], image.shape[2]) != shape:
            raise UserError(f"{file.path} is {image.shape[2]}x{image.shape[1]}, its header says otherwise", exit_code=1)
        about = {"source": Path(os.path.relpath(file.path, self.root)).as_posix()}
        factors = tuple(version.split("_")) if version in self.versions else ()
        if self.store == "arrays":
            return Member(version, to_array(image), shape, factors=factors, about=about)
        path = Path(file.path)
        suffix = path.suffix.lower().lstrip(".")
        return Member(version, path.read_bytes(), shape, suffix, factors, file.view, about)

    def sizes(self) -> str:
        """The size of each image, for messages."""
        named = zip(self.files, self.shapes, strict=True)
        return ", ".join(dict.fromkeys(f"{file.path} is {width}x{height}" for file, (height, width) in named))

    def resized(self, size: tuple[int, int]) -> "FolderSample":
        """With every image resized to (width, height).

        Raises:
            UserError: The clean image is larger than the degraded ones.
        """
        if self.scale != 1:
            raise UserError(
                f"--size {size[0]}x{size[1]}: the clean images are {self.scale} times as large as the degraded ones;"
                " leave it out"
            )
        clean, *degraded = [file._replace(view=file.view._replace(size=size)) for file in self.files]
        shapes = ((size[1], size[0]),) * len(self.files)
        return self._replace(clean=clean, degraded=tuple(degraded), shapes=shapes)

    def measured(self, border: int, several: dict[str, int]) -> "tuple[FolderSample | None, list[str]]":
        """With its shapes and with what can be read of it, and what cannot.

        Args:
            border: Pixels at each side that only the clean image has.
            several: Gets the files that hold several pictures, and how many.
        """

        def shape_of(file: FileView) -> tuple[int, int]:
            height, width, pictures = file.header()
            if pictures > 1:
                several[file.path] = pictures
            return height, width

        try:
            clean = shape_of(self.clean)
        except UserError as error:
            return None, [f"{error}{left_out_too(len(self.degraded))}"]
        readable: list[FileView] = []
        versions: list[str] = []
        shapes: list[tuple[int, int]] = []
        problems: list[str] = []
        for number, file in enumerate(self.degraded):
            try:
                shapes.append(shape_of(file))
                readable.append(file)
                versions += self.versions[number : number + 1]
            except UserError as error:
                problems.append(str(error))
        if self.degraded and not readable:
            return None, problems
        sample = self
        if border and shapes and all(clean == (height + 2 * border, width + 2 * border) for height, width in shapes):
            cut = self.clean.view._replace(border=border)
            sample = self._replace(clean=self.clean._replace(view=cut))
            clean = shapes[0]
        sample = sample._replace(degraded=tuple(readable), versions=tuple(versions), shapes=(clean, *shapes))
        if sample.scale:
            return sample, problems
        return None, [*problems, f"sizes differ: {sample.sizes()}"]


class Measured(NamedTuple):
    """Samples whose shapes are known.

    Args:
        samples: Those that fit.
        problems: What is wrong with the others, one line each.
        several: Files that hold several pictures -> how many.
    """

    samples: list[FolderSample]
    problems: list[str]
    several: dict[str, int]


def measure(samples: Sequence[FolderSample], border: int, threads: int) -> Measured:
    """The samples with their shapes, without what cannot be read or differs in size or name from what fits.

    Args:
        samples: What the folder holds.
        border: Pixels at each side that only the clean images have.
        threads: That read headers.
    """
    several: dict[str, int] = {}
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda sample: sample.measured(border, several), samples)
        measured = list(tqdm(found, total=len(samples), unit="sample", desc="sizes", disable=None))
    problems = [problem for _, misfits in measured for problem in misfits]
    good = [sample for sample, _ in measured if sample is not None]
    scales = Counter(sample.scale for sample in good)
    usual = max(scales, key=lambda scale: (scales[scale], -scale)) if scales else 1
    kept: dict[tuple[str, str], FolderSample] = {}
    for sample in good:
        key, lost = (sample.split, sample.name), left_out_too(len(sample.degraded))
        if sample.scale != usual:
            problems.append(f"{sample.sizes()}: elsewhere the clean image is {usual} times as large{lost}")
        elif key in kept:
            problems.append(f"{sample.clean.path} and {kept[key].clean.path} would have one name, {sample.name}{lost}")
        elif not sample.name.isprintable() or not re.fullmatch(r"\w+", sample.split):
            problems.append(f"{sample.clean.path!r}: its name or split cannot be one in the set{lost}")
        else:
            kept[key] = sample
    return Measured(list(kept.values()), problems, several)


def left_out_too(count: int) -> str:
    """The end of a message about a clean image with several degraded ones."""
    return f" (with it {count} degraded images are left out)" if count > 1 else ""
