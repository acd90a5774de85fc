"""Training samples: how a draw becomes a pair of crops."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.base import PairSource
from restore_lightning.seeding import derive, generator


class TrainingSet(Dataset[dict[str, Any]]):
    """Degraded and clean crops by `SampleIndex`.

    Args:
        sources: Factor -> pairs of crops.
        plans: How each factor's crops are made.
        seed: Of crops, degradations and augmentations.
    """

    def __init__(self, sources: Mapping[str, PairSource], plans: Mapping[str, ResolvedFactor], seed: int) -> None:
        self.sources = dict(sources)
        self.plans = dict(plans)
        self.seed = seed

    def __getitem__(self, draw: SampleIndex) -> dict[str, Any]:
        """{factor, cycle, factors, degraded and clean as in `Pair`, turns (3,) int}."""
        plan = self.plans[draw.factor]
        seed = derive(self.seed, draw.factor)
        pair = self.sources[draw.factor].pair(draw, plan, seed)
        turns = generator(seed, "augment", draw.crop).integers([2, 2, 4])
        allowed = [name in plan.augment for name in ("hflip", "vflip", "rot90")]
        return {
            "factor": draw.factor,
            "cycle": draw.cycle,
            **pair._asdict(),
            "turns": torch.from_numpy(turns * allowed),
        }


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Samples of one factor -> a batch: factor and cycle once, a list of each one's factors, tensors stacked."""
    # Stacked with their channels last, as files and shards hold them: that copies rows, not single bytes.
    images = {}
    for key in ("degraded", "clean"):
        stacked = torch.stack([sample[key].permute(1, 2, 0) for sample in samples])
        images[key] = stacked.permute(0, 3, 1, 2)
    turns = torch.stack([s["turns"] for s in samples])
    factors = [s["factors"] for s in samples]
    return {"factor": samples[0]["factor"], "cycle": samples[0]["cycle"], "factors": factors, **images, "turns": turns}


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
