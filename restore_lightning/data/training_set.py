"""Training samples: how a `SampleIndex` becomes a pair of crops, and the crops a batch."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from restore_lightning.data.config import Augmentation, FactorConfig, ResolvedFactor
from restore_lightning.data.locations import Location
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.base import PairSource
from restore_lightning.data.sources.folders import CleanFolder, FolderPairs
from restore_lightning.data.sources.local_shards import shard_source
from restore_lightning.data.sources.remote_shards import stream_source
from restore_lightning.data.sources.scenes import CleanScenes
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.errors import UserError
from restore_lightning.seeding import derive, generator

log = logging.getLogger(__name__)


class TrainingSet(Dataset[dict[str, Any]]):
    """Degraded and clean crops by `SampleIndex`.

    Args:
        sources: Factor -> pairs of crops.
        factors: How each factor's crops are made.
        seed: Of crops, degradations and augmentations.
    """

    def __init__(self, sources: Mapping[str, PairSource], factors: Mapping[str, ResolvedFactor], seed: int) -> None:
        self.sources = dict(sources)
        self.factors = dict(factors)
        self.seed = seed

    def __getitem__(self, index: SampleIndex) -> dict[str, Any]:
        """{factor, cycle, factors, degraded and clean as in `Pair`, turns (3,) int}."""
        resolved = self.factors[index.factor]
        if index.crop_size is not None:
            resolved = replace(resolved, crop_size=index.crop_size)
        seed = derive(self.seed, index.factor)
        pair = self.sources[index.factor].pair(index, resolved, seed)
        turns = draw_turns(resolved.augment, generator(seed, "augment", index.crop))
        return {"factor": index.factor, "cycle": index.cycle, **pair._asdict(), "turns": torch.from_numpy(turns)}


def training_source(factor: str, given: FactorConfig, resolved: ResolvedFactor, location: Location) -> PairSource:
    """Where a factor's training crops come from.

    Args:
        factor: Its name.
        given: What the user says of its data.
        resolved: The same, with every default filled in.
        location: Where its images are.

    Raises:
        UserError: Images that cannot be trained on.
    """
    chosen = given.degradation is not None
    if location.url is not None:
        return stream_source(location.url, factor, resolved, chosen)
    if location.shards is not None:
        return shard_source(location.shards, factor, resolved, chosen)
    if location.clean is None:
        log.info("%s: training on procedural scenes%s", factor, "" if given.scenes else " (no data.root given)")
        return SyntheticPairs(CleanScenes())
    if location.degraded is not None:
        pairs = FolderPairs(location.degraded, location.clean, resolved.crop_size, location.choice)
        log.info("%s: training on the %d pairs of %s", factor, len(pairs.pairs), location.degraded)
        return pairs
    photographs = CleanFolder(location.clean, resolved.clean_size, location.choice)
    log.info("%s: training on %d photographs in %s", factor, len(photographs.paths), location.clean)
    if resolved.needs_depth:
        log.info("photographs have no depth: haze is computed from a stand-in (ground that recedes upwards)")
    return SyntheticPairs(photographs)


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Samples -> a batch: tensors stacked, the cycle once, for each sample its factor's name and what degrades it.

    "factor" is that of all of them, None where they differ: then the samples of each factor follow one another.
    """
    samples = sorted(samples, key=lambda sample: str(sample["factor"]))
    names = [sample["factor"] for sample in samples]
    sizes = {tuple(sample["clean"].shape): sample["factor"] for sample in samples}
    if len(sizes) > 1:
        (first, one), (second, other), *_ = sizes.items()
        raise UserError(
            f"clean crops of {one} are {list(first)}, those of {other} {list(second)} (channels, height, width):"
            " samples of a batch have one size; give pairs of one scale, or data.batches one_factor"
        )
    # Stacked with their channels last, as files and shards hold them: that copies rows, not single bytes.
    images = {}
    for key in ("degraded", "clean"):
        stacked = torch.stack([sample[key].permute(1, 2, 0) for sample in samples])
        images[key] = stacked.permute(0, 3, 1, 2)
    turns = torch.stack([sample["turns"] for sample in samples])
    factors = [sample["factors"] for sample in samples]
    of_all = names[0] if len(set(names)) == 1 else None
    cycle = max(sample["cycle"] for sample in samples)
    return {"factor": of_all, "sources": names, "cycle": cycle, "factors": factors, **images, "turns": turns}


def draw_turns(allowed: Collection[Augmentation], rng: np.random.Generator) -> np.ndarray:
    """What `augment` does with a sample, (3,): horizontal flip, vertical flip, quarter turns."""
    if "seven" in allowed:
        number = int(rng.integers(1, 8))  # of the eight flips and turns that there are, 0 does nothing
        return np.array([number // 4, 0, number % 4])
    return rng.integers([2, 2, 4]) * [name in allowed for name in ("hflip", "vflip", "rot90")]


def augment(image: Tensor, turns: Tensor) -> Tensor:
    """Flip and turn each image of a batch of squares on its device.

    Args:
        image: (B, C, S, S).
        turns: (B, 3): horizontal flip (0, 1), vertical flip (0, 1), quarter turns (0 to 3).
    """
    turns = turns[:, :, None, None, None]
    image = torch.where(turns[:, 0] == 1, image.flip(3), image)
    image = torch.where(turns[:, 1] == 1, image.flip(2), image)
    image = torch.where(turns[:, 2] % 2 == 1, image.rot90(1, (2, 3)), image)
    return torch.where(turns[:, 2] >= 2, image.rot90(2, (2, 3)), image)
