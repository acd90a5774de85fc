"""Validation and test sets: named pairs of degraded and clean images, and how they are scored."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from restore_lightning.data.config import factors_of
from restore_lightning.data.image_choice import EVERY_IMAGE, ImageChoice
from restore_lightning.data.noise_stream import LegacyNoise, NoiseStream
from restore_lightning.data.shards.reader import CLEAN, ShardSet
from restore_lightning.data.sources.base import CleanImage, Pair
from restore_lightning.data.sources.bundled import PHOTOGRAPHS, bundled_photograph
from restore_lightning.data.sources.crops import sizes_of
from restore_lightning.data.sources.folders import PairedFiles, photographs, read_photograph, scale_of
from restore_lightning.data.sources.local_shards import shard_pair
from restore_lightning.data.sources.synthetic import degrade
from restore_lightning.degradations import Degradation
from restore_lightning.io.images import Colour
from restore_lightning.io.pixel_windows import Keep, Window
from restore_lightning.runs.signals import ignore_signals_in_worker
from restore_lightning.seeding import derive

WITH_DEPTH = 5
"""How many degraded versions of the one photograph with depth are scored."""


class CleanEntry(NamedTuple):
    """A clean image: a name for files and tables, what reads it, and its (height, width) where that is known."""

    name: str
    clean: Callable[[], CleanImage]
    size: tuple[int, int] | None = None


class PairEntry(NamedTuple):
    """An image to score: a name for files and tables, and what reads it beside the clean one."""

    name: str
    pair: Callable[[], Pair]


@dataclass(frozen=True)
class SetInfo:
    """What a set is called, and how its images are taken and scored.

    Args:
        name: In logs, tables and `scores.json`.
        factor: What degrades its images: a factor, several joined by "+", or another name for varying ones.
        protocols: How they are scored.
        crop_size: Cut the centre of this size (pixels of the degraded image) from each; None: whole images.
        colour: See `FactorConfig`.
        multiple: See `EvaluationConfig`.
        keep: See `EvaluationConfig`.
    """

    name: str
    factor: str
    protocols: tuple[str, ...]
    crop_size: int | None = None
    colour: Colour = "rgb"
    multiple: int = 1
    keep: Keep = "top-left"


class EvaluationSet(Dataset[dict[str, Any]]):
    """Degraded images beside the clean ones, the same in every run.

    Args:
        info: What it is called, and how it is scored.
        images: The images.
        factors: All that degrades any of them.
        data: Where they come from, for people.
        scale: How many times larger the clean images are.
    """

    def __init__(
        self, info: SetInfo, images: Sequence[PairEntry], factors: Iterable[str], data: str, scale: int = 1
    ) -> None:
        self.name, self.factor, self.protocols = info.name, info.factor, info.protocols
        self.crop_size = info.crop_size
        self.images = list(images)
        self.factors = tuple(factors)
        place = "the centre" if info.keep == "centre" else "the top left"
        self.data = data if info.multiple == 1 else f"{data}, {place} cut to multiples of {info.multiple} pixels"
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


def degraded_set(info: SetInfo, degradation: Degradation, entries: Sequence[CleanEntry], where: str) -> EvaluationSet:
    """Clean images of a place, degraded as they are read."""
    images = [
        PairEntry(name, partial(_degraded, clean, info, degradation, derive(0, info.factor, info.factor, index)))
        for index, (name, clean, _) in enumerate(entries)
    ]
    factors, data = factors_of(info.factor, degradation), f"{where}, degraded on the fly by {degradation}"
    return EvaluationSet(info, images, factors, data, degradation.scale)


def noisy_set(info: SetInfo, noise: LegacyNoise, entries: Sequence[CleanEntry], where: str) -> EvaluationSet:
    """Clean images of a place with the noise that a published test code adds to them, image by image, by name."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    channels = 3 if info.colour == "rgb" else 1
    sizes = [[side - side % info.multiple for side in size] for _, _, size in ordered if size is not None]
    stream = NoiseStream(noise, [(height, width, channels) for height, width in sizes])
    images = [
        PairEntry(name, partial(_noisy, clean, info, stream, index)) for index, (name, clean, _) in enumerate(ordered)
    ]
    return EvaluationSet(info, images, (info.factor,), f"{where}, {noise}")


def paired_set(info: SetInfo, pairs: Sequence[PairedFiles], where: str) -> EvaluationSet:
    """Files of degraded images of a place beside clean ones."""
    images = [PairEntry(files.name, partial(_of_files, files, info)) for files in pairs]
    return EvaluationSet(info, images, (info.factor,), where, scale_of(pairs))


def shard_evaluation_set(info: SetInfo, shards: ShardSet, split: str, version: str) -> EvaluationSet:
    """The images of a version and a split of a set of shards beside their clean ones.

    The factor of `info` is what degrades them where the shards do not say.
    """
    rows = shards.rows(split, version).tolist()
    images = [PairEntry(shards.name(row), partial(_of_row, shards, row, info)) for row in rows]
    factors = {name: None for row in rows for name in shards.factors(row) or (info.factor,)}
    scale = shards.size(shards.clean_of(rows[0]))[0] // shards.size(rows[0])[0]
    data = f"shards {shards.folder}, split {split}, images {version}"
    return EvaluationSet(info, images, factors, data, scale)


def shard_entries(shards: ShardSet, split: str) -> list[CleanEntry]:
    """The clean images of a split of a set of shards."""
    rows = shards.rows(split, CLEAN).tolist()
    return [CleanEntry(shards.name(row), partial(_clean_of_row, shards, row), shards.size(row)) for row in rows]


def bundled_entries(split: str, degradation: Degradation) -> list[CleanEntry]:
    """scikit-image's photographs of a split.

    A factor that needs depth is tested where depth was measured: on the motorcycle, degraded five times.
    """
    names = {name: name for name in PHOTOGRAPHS[split]}
    if degradation.needs_depth and split == "test":
        names = {f"motorcycle-{number}": "motorcycle" for number in range(1, WITH_DEPTH + 1)}
    return [CleanEntry(name, partial(_bundled, photograph)) for name, photograph in names.items()]


def folder_entries(root: Path, choice: ImageChoice = EVERY_IMAGE) -> list[CleanEntry]:
    """The photographs below a folder, named by their path in it; without the suffix where that tells them apart."""
    paths = choice.of(root, photographs(root))
    sizes = sizes_of(
        paths, f"files in {root}"
    )  # what cannot be read is named before training, not at the first validation
    counts = Counter(path.with_suffix("") for path in paths)

    def name(path: Path) -> str:
        unique = counts[path.with_suffix("")] == 1
        return (path.with_suffix("") if unique else path).relative_to(root).as_posix()

    return [
        CleanEntry(name(path), partial(_clean_of_file, path), size) for path, size in zip(paths, sizes, strict=True)
    ]


# What reads an image, as functions of this module: a process that is not forked gets them by their names.


def _degraded(clean: Callable[[], CleanImage], info: SetInfo, degradation: Degradation, seed: int) -> Pair:
    image = clean().multiple_of(info.multiple * degradation.scale, info.keep).in_colour(info.colour)
    return degrade(image, info.factor, degradation, seed)


def _noisy(clean: Callable[[], CleanImage], info: SetInfo, stream: NoiseStream, index: int) -> Pair:
    image = clean().multiple_of(info.multiple, info.keep).in_colour(info.colour).image
    return Pair(stream.noisy(image, index), image, (info.factor,))


def _of_files(files: PairedFiles, info: SetInfo) -> Pair:
    return files.read(info.factor, info.colour).multiple_of(info.multiple, info.keep)


def _of_row(shards: ShardSet, row: int, info: SetInfo) -> Pair:
    return shard_pair(shards, row, info.factor, colour=info.colour).multiple_of(info.multiple, info.keep)


def _clean_of_row(shards: ShardSet, row: int) -> CleanImage:
    return CleanImage(shards.read(row), None)


def _clean_of_file(path: Path) -> CleanImage:
    return CleanImage(read_photograph(path), None)


def _bundled(photograph: str) -> CleanImage:
    return CleanImage.of_arrays(*bundled_photograph(photograph))


def evaluation_loader(scored: EvaluationSet, trainer: Trainer | None, workers: int = 0) -> DataLoader[dict[str, Any]]:
    """Batches of one image, of those that this process of the Trainer's scores.

    Each image comes once, whatever the number of processes. One that is left over takes an image of another, which the
    scores know by its number, because all of them have to come to the same gatherings.

    Args:
        scored: The images.
        trainer: None: there is one process.
        workers: Processes that read and degrade images while others are restored; they live for one pass over the set,
            and each holds one image ready.
    """
    rank, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
    mine = range(rank, len(scored), processes) or [rank % len(scored)]
    workers = min(workers, 2, len(mine))  # enough for an image ahead, which takes shared memory
    return DataLoader(
        scored,
        batch_size=1,
        sampler=mine,
        collate_fn=_batch_of_one,
        num_workers=workers,
        prefetch_factor=1 if workers else None,
        worker_init_fn=ignore_signals_in_worker,
    )


def _batch_of_one(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one image: sizes differ."""
    (sample,) = samples
    return sample | {key: sample[key][None] for key in ("degraded", "clean")}
