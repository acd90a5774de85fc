"""Validation and test sets: named pairs of degraded and clean images with a factor and a protocol."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from restore_lightning.data.config import factors_of
from restore_lightning.data.shards.reader import CLEAN, ShardSet
from restore_lightning.data.sources.base import CleanImage, Pair, sizes_of
from restore_lightning.data.sources.folders import PairedFiles, photographs, scale_of
from restore_lightning.data.sources.photographs import BUNDLED, bundled
from restore_lightning.data.sources.shards import shard_pair
from restore_lightning.data.sources.synthetic import degrade
from restore_lightning.degradations import Degradation
from restore_lightning.io.images import Colour, read_image
from restore_lightning.io.windows import Window
from restore_lightning.seeding import derive

DRAWS = 5


class CleanEntry(NamedTuple):
    """One image: a name for files and tables, and what reads it."""

    name: str
    clean: Callable[[], CleanImage]


class PairEntry(NamedTuple):
    """One image to score: a name for files and tables, and what reads the pair."""

    name: str
    pair: Callable[[], Pair]


@dataclass(frozen=True)
class SetInfo:
    """What a set is called, and how its images are taken and scored.

    Args:
        name: In logs, tables and `scores.json`.
        factor: What degrades its images: a factor, several joined by "+", or another name for varying ones.
        protocol: How they are scored.
        crop_size: Cut the centre of this size (pixels of the degraded image) from each; None: whole images.
        colour: See `FactorConfig`.
        multiple: See `EvaluationConfig`.
    """

    name: str
    factor: str
    protocol: str
    crop_size: int | None = None
    colour: Colour = "rgb"
    multiple: int = 1


class EvaluationSet(Dataset[dict[str, Any]]):
    """Degraded images beside the clean ones, the same in every run.

    Args:
        spec: The set's name and ways.
        images: The images.
        factors: All that degrades any of them.
        data: Where they come from, for people.
        scale: How many times larger the clean images are.
    """

    def __init__(
        self, spec: SetInfo, images: Sequence[PairEntry], factors: Iterable[str], data: str, scale: int = 1
    ) -> None:
        self.name, self.factor, self.protocol = spec.name, spec.factor, spec.protocol
        self.crop_size = spec.crop_size
        self.images = list(images)
        self.factors = tuple(factors)
        self.data = data
        self.scale = scale

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """{set, factor, name, number, degraded, clean, factors}, the last three as in `Pair`."""
        pair = self.images[index].pair()
        pair = pair.cut(self._window(pair.degraded))
        named = {"set": self.name, "factor": self.factor, "name": self.images[index].name, "number": index}
        return {**named, **pair._asdict()}

    def _window(self, image: Tensor) -> Window:
        height, width = image.shape[1:]
        h, w = (height, width) if self.crop_size is None else (min(height, self.crop_size), min(width, self.crop_size))
        return Window((height - h) // 2, (width - w) // 2, h, w)


def degraded_set(spec: SetInfo, degradation: Degradation, items: Sequence[CleanEntry], where: str) -> EvaluationSet:
    """Clean images of a place, degraded as they are read."""

    def scored(index: int, item: CleanEntry) -> PairEntry:
        seed = derive(0, spec.factor, spec.factor, index)

        def pair() -> Pair:
            clean = item.clean().multiple_of(spec.multiple * degradation.scale).in_colour(spec.colour)
            return degrade(clean, spec.factor, degradation, seed)

        return PairEntry(item.name, pair)

    images = [scored(i, item) for i, item in enumerate(items)]
    factors, data = factors_of(spec.factor, degradation), f"{where}, degraded on the fly by {degradation}"
    return EvaluationSet(spec, images, factors, data, degradation.scale)


def paired_set(spec: SetInfo, pairs: Sequence[PairedFiles], where: str) -> EvaluationSet:
    """Files of degraded images of a place beside clean ones."""

    def scored(files: PairedFiles) -> PairEntry:
        return PairEntry(files.name, lambda: files.read(spec.factor, spec.colour).multiple_of(spec.multiple))

    return EvaluationSet(spec, [scored(files) for files in pairs], (spec.factor,), where, scale_of(pairs))


def shard_set(spec: SetInfo, shards: ShardSet, split: str, version: str) -> EvaluationSet:
    """The images of a version and a split of a set of shards beside their clean ones.

    The spec's factor is what degrades them where the shards do not say.
    """
    rows = shards.rows(split, version).tolist()

    def scored(row: int) -> PairEntry:
        def pair() -> Pair:
            return shard_pair(shards, row, spec.factor, colour=spec.colour).multiple_of(spec.multiple)

        return PairEntry(shards.name(row), pair)

    factors = {name: None for row in rows for name in shards.factors(row) or (spec.factor,)}
    scale = shards.size(shards.clean_of(rows[0]))[0] // shards.size(rows[0])[0]
    data = f"shards {shards.folder}, split {split}, images {version}"
    return EvaluationSet(spec, [scored(row) for row in rows], factors, data, scale)


def shard_entries(shards: ShardSet, split: str) -> list[CleanEntry]:
    """The clean images of a split of a set of shards."""
    rows = shards.rows(split, CLEAN).tolist()
    return [CleanEntry(shards.name(row), lambda row=row: CleanImage(shards.read(row), None)) for row in rows]  # type: ignore[misc]


def bundled_entries(split: str, degradation: Degradation) -> list[CleanEntry]:
    """scikit-image's photographs of a split.

    A factor that needs depth is tested where depth was measured: on the motorcycle, with five draws.
    """
    if degradation.needs_depth and split == "test":
        return [CleanEntry(f"motorcycle-{draw}", lambda: bundled("motorcycle")) for draw in range(1, DRAWS + 1)]
    return [CleanEntry(name, lambda name=name: bundled(name)) for name in BUNDLED[split]]  # type: ignore[misc]


def folder_entries(root: Path) -> list[CleanEntry]:
    """The photographs below a folder, named by their path in it; without the suffix where that tells them apart."""
    paths = photographs(root)
    sizes_of(paths, f"files in {root}")  # what cannot be read is named before training, not at the first validation
    counts = Counter(path.with_suffix("") for path in paths)

    def item(path: Path) -> CleanEntry:
        unique = counts[path.with_suffix("")] == 1
        name = path.relative_to(root)
        return CleanEntry(str(name.with_suffix("") if unique else name), lambda: CleanImage(read_image(path), None))

    return [item(path) for path in paths]
