"""Training samples: which draw goes into which batch, and how a draw becomes a pair of crops."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from restore_lightning.data.schedule import CyclicSchedule
from restore_lightning.data.sources import Clean, CleanSource
from restore_lightning.degradations import Degradation, stand_in_depth
from restore_lightning.images import to_float, to_uint8
from restore_lightning.seeding import derive, generator

Augmentation = Literal["hflip", "vflip", "rot90"]


@dataclass
class FactorData:
    """The training data of one degradation factor, and how its test images are scored.

    Args:
        minibatches: Minibatches per cycle.
        batch_size: Samples per minibatch and device; None: `data.batch_size`.
        crop_size: Side of the crops in pixels; None: `data.crop_size`.
        augment: "hflip" and "vflip" with probability 1/2 each, "rot90" by 0, 90, 180 or 270 degrees.
        degradation: What makes the degraded image; None: the degradation of the factor's name.
        protocol: How validation and test images are scored.
    """

    minibatches: int = 1
    batch_size: int | None = None
    crop_size: int | None = None
    augment: list[Augmentation] = field(default_factory=lambda: ["hflip"])
    degradation: Degradation | None = None
    protocol: str = "durn-y"


@dataclass(frozen=True)
class FactorPlan:
    """`FactorData` with every default filled in."""

    batch_size: int
    crop_size: int
    augment: tuple[Augmentation, ...]
    degradation: Degradation


class Draw(NamedTuple):
    """One training sample's address: everything random about it is a function of this and the seed."""

    factor: str
    cycle: int
    number: int


class ScheduledBatches(Sampler[list[Draw]]):
    """Batches of draws by the cyclic schedule; a pure function of the position.

    One optimiser step trains one factor, also when `accumulate` batches make a step, and the
    samples of a step are numbered alike however they are split into batches and ranks.

    Args:
        schedule: Which factor when.
        batch_sizes: Samples per batch and rank of each factor.
        start: Position of the next batch on this rank; asked whenever batches are drawn.
        end: Batches of the whole run on this rank.
        accumulate: Batches per optimiser step.
        rank: This process's number.
        world_size: Number of processes.
    """

    def __init__(
        self,
        schedule: CyclicSchedule,
        batch_sizes: Mapping[str, int],
        start: Callable[[], int],
        end: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.schedule = schedule
        self.batch_sizes = dict(batch_sizes)
        self.start = start
        self.end = end
        self.accumulate = accumulate
        self.rank = rank
        self.world_size = world_size

    def batch(self, position: int) -> list[Draw]:
        """The draws of one batch."""
        step, part = divmod(position, self.accumulate)
        factor, cycle, occurrence = self.schedule.turn(step)
        size = self.batch_sizes[factor]
        first = ((occurrence * self.accumulate + part) * self.world_size + self.rank) * size
        return [Draw(factor, cycle, number) for number in range(first, first + size)]

    def __iter__(self) -> Iterator[list[Draw]]:
        """The batches still to come."""
        return (self.batch(position) for position in range(self.start(), self.end))

    def __len__(self) -> int:
        """Batches of the whole run: Lightning counts those before the first one still to come."""
        return self.end


class TrainingSet(Dataset[dict[str, Any]]):
    """Degraded and clean crops by `Draw`, as 8-bit images.

    Args:
        source: Clean crops.
        plans: How each factor's crops are made.
        seed: Of crops, degradations and augmentations.
    """

    def __init__(self, source: CleanSource, plans: Mapping[str, FactorPlan], seed: int) -> None:
        self.source = source
        self.plans = dict(plans)
        self.seed = seed

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """{factor, cycle, degraded (3, S, S) uint8, clean (3, S, S) uint8, turns (3,) int}."""
        plan = self.plans[draw.factor]
        seed = derive(self.seed, draw.factor)
        clean, window = self.source.crop(draw.number, plan.crop_size, plan.degradation.margin, seed)
        degraded = degrade(clean, plan.degradation, derive(seed, "degradation", draw.number))
        turns = generator(seed, "augment", draw.number).integers([2, 2, 4])
        allowed = [name in plan.augment for name in ("hflip", "vflip", "rot90")]
        return {
            "factor": draw.factor,
            "cycle": draw.cycle,
            "degraded": window.cut(degraded),
            "clean": window.cut(clean.image),
            "turns": torch.from_numpy(turns * allowed),
        }


def degrade(clean: Clean, degradation: Degradation, seed: int) -> Tensor:
    """The degraded version of a clean image as an 8-bit file would hold it; (3, H, W) uint8.

    A photograph without depth gets a stand-in where the degradation needs one.
    """
    depth = clean.depth
    if depth is None and degradation.needs_depth:
        depth = stand_in_depth(clean.image.shape[1], clean.image.shape[2], seed)
    return to_uint8(degradation(to_float(clean.image), seed, depth))


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Samples of one factor -> a batch: factor and cycle once, tensors stacked."""
    tensors = {key: torch.stack([s[key] for s in samples]) for key in ("degraded", "clean", "turns")}
    return {"factor": samples[0]["factor"], "cycle": samples[0]["cycle"], **tensors}


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
