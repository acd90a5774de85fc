"""Training samples: how a draw becomes a pair of crops."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from restore_lightning.data.sources import Clean, CleanSource, Window, whole_multiple
from restore_lightning.degradations import DEGRADATIONS, Degradation, Mixture, stand_in_depth
from restore_lightning.errors import UserError
from restore_lightning.images import Colour, to_float, to_uint8
from restore_lightning.metrics import protocol
from restore_lightning.seeding import derive, generator

Augmentation = Literal["hflip", "vflip", "rot90"]


@dataclass
class FactorData:
    """The training data of one degradation factor, and how its test images are scored.

    Args:
        minibatches: Minibatches per cycle.
        batch_size: Samples per minibatch and device; None: `data.batch_size`.
        crop_size: Side of the degraded crops in pixels; None: `data.crop_size`. The clean ones are larger where the
            degradation lowers the resolution.
        augment: "hflip" and "vflip" with probability 1/2 each, "rot90" by 0, 90, 180 or 270 degrees.
        degradation: What makes the degraded image; None: the degradation of the factor's name.
        protocol: How validation and test images are scored.
        colour: "rgb"; "gray", or "y" (MATLAB's luma in 8 bits): all images are converted, and degraded after that.
        repeats: Minibatches in a row that have the same clean crops, degraded anew.
        shards: Tar shards (`restore shards pack`): a folder, or the URL of one, from which they are streamed. Pairs, or
            clean images that are degraded on the fly.
        clean: Folder of clean training images of this factor.
        degraded: Folder of their degraded versions, of the same names; None: degraded on the fly.
        scenes: Train this factor on procedural scenes. Without `shards`, `clean` and `scenes`: `data.root`.
    """

    minibatches: int = 1
    batch_size: int | None = None
    crop_size: int | None = None
    augment: list[Augmentation] = field(default_factory=lambda: ["hflip"])
    degradation: Degradation | None = None
    protocol: str = "durn-y"
    colour: Colour = "rgb"
    repeats: int = 1
    shards: str | None = None
    clean: str | None = None
    degraded: str | None = None
    scenes: bool = False


@dataclass(frozen=True)
class FactorPlan:
    """What training needs of a `FactorData`, every default filled in.

    The degradation is None where pairs are given.
    """

    batch_size: int
    crop_size: int
    augment: tuple[Augmentation, ...]
    degradation: Degradation | None
    colour: Colour = "rgb"
    repeats: int = 1

    @property
    def clean_size(self) -> int:
        """Side of the clean crops of images that are degraded on the fly (pixels)."""
        return self.crop_size * (1 if self.degradation is None else self.degradation.scale)

    @property
    def needs_depth(self) -> bool:
        """Whether the degradation does."""
        return self.degradation is not None and self.degradation.needs_depth


def planned(factor: str, data: FactorData, batch_size: int, crop_size: int) -> FactorPlan:
    """Fill in a factor's defaults.

    Args:
        factor: Its name.
        data: What is said of it.
        batch_size: Where it names none.
        crop_size: Where it names none.

    Raises:
        UserError: What is said makes no sense.
    """
    where = f"data.factors.{factor}"
    named = [key for key in ("shards", "clean", "scenes") if getattr(data, key)]
    if len(named) > 1:
        raise UserError(f"{where} names {' and '.join(named)}: give one of them")
    if data.degraded is not None and data.clean is None:
        raise UserError(f"{where}.degraded is given without {where}.clean: give the folder of the clean images too")
    if data.degradation is not None and data.degraded is not None:
        raise UserError(f"{where} has a degradation and a folder of degraded images: give one of them")
    paired = data.degraded is not None or data.shards is not None
    if data.degradation is None and not paired and factor not in DEGRADATIONS:
        raise UserError(
            f"unknown factor {factor!r}: there is no degradation of this name ({', '.join(DEGRADATIONS)});"
            f" rename it, set {where}.degradation, or give pairs by {where}.degraded and {where}.clean"
        )
    for name, value in (("minibatches", data.minibatches), ("repeats", data.repeats)):
        if value < 1:
            more = ", or leave the factor out" if name == "minibatches" else ""
            raise UserError(f"{where}.{name} {value}: give at least 1{more}")
    batch = data.batch_size if data.batch_size is not None else batch_size
    crop = data.crop_size if data.crop_size is not None else crop_size
    if batch < 1:
        key = "data.batch_size" if data.batch_size is None else f"{where}.batch_size"
        raise UserError(f"{key} {batch}: give at least 1")
    if crop < 1:
        key = "data.crop_size" if data.crop_size is None else f"{where}.crop_size"
        raise UserError(f"{key} {crop}: give at least 1 pixel")
    protocol(data.protocol)
    degradation = data.degradation
    if degradation is None and data.degraded is None and factor in DEGRADATIONS:
        degradation = DEGRADATIONS[factor]()
    return FactorPlan(batch, crop, tuple(data.augment), degradation, data.colour, data.repeats)


def factors_of(name: str, degradation: Degradation | None) -> tuple[str, ...]:
    """The network's factors that images of a factor's data can have: several where they are mixed."""
    return tuple(degradation.factors) if isinstance(degradation, Mixture) else (name,)


class Pair(NamedTuple):
    """A degraded and a clean image.

    Args:
        degraded: (C, H, W) uint8, or float where it is not quantised; C is 3, or 1 for gray images.
        clean: (C, scale * H, scale * W) uint8.
        factors: What degrades it, in the order of application.
    """

    degraded: Tensor
    clean: Tensor
    factors: tuple[str, ...]

    def cut(self, window: Window) -> "Pair":
        """A window of the degraded image, and the same part of the clean one."""
        scale = self.clean.shape[1] // self.degraded.shape[1]
        return Pair(window.cut(self.degraded), window.enlarged(scale).cut(self.clean), self.factors)

    def multiple_of(self, pixels: int) -> "Pair":
        """Without the last rows and columns that exceed a multiple of so many pixels of the degraded image."""
        return self.cut(whole_multiple(self.degraded, pixels))


class PairSource(Protocol):
    """Training crops, by number: the same number is the same pair in every process."""

    def pair(self, draw: "Draw", plan: FactorPlan, seed: int) -> Pair:
        """Draw a pair of crops.

        Args:
            draw: Which.
            plan: How its crops are made.
            seed: Of everything random; the draw's numbers already tell draws apart.
        """
        ...


class Draw(NamedTuple):
    """One training sample's address: everything random about it is a function of this and the seed.

    Args:
        factor: Name of the factor's data.
        cycle: Of the schedule.
        number: Which draw of the factor, from 0.
        crop: Which clean crop; several draws have the same where `FactorData.repeats` says so.
    """

    factor: str
    cycle: int
    number: int
    crop: int


class OnTheFly:
    """Clean crops, degraded as they are drawn.

    Args:
        clean: Where they come from.
    """

    def __init__(self, clean: CleanSource) -> None:
        self.clean = clean

    def pair(self, draw: Draw, plan: FactorPlan, seed: int) -> Pair:
        """See `PairSource`."""
        assert plan.degradation is not None
        scale = plan.degradation.scale
        clean, window = self.clean.crop(draw.crop, plan.clean_size, plan.degradation.margin, seed)
        # A pixel of low resolution begins where the crop begins.
        up, before = window.top % scale, window.left % scale
        height, width = clean.image.shape[1:]
        clean = clean.cut(Window(up, before, height - up, width - before)).in_colour(plan.colour)
        pair = degrade(clean, draw.factor, plan.degradation, derive(seed, "degradation", draw.number))
        return pair.cut(Window(window.top // scale, window.left // scale, plan.crop_size, plan.crop_size))


class TrainingSet(Dataset[dict[str, Any]]):
    """Degraded and clean crops by `Draw`.

    Args:
        sources: Factor -> pairs of crops.
        plans: How each factor's crops are made.
        seed: Of crops, degradations and augmentations.
    """

    def __init__(self, sources: Mapping[str, PairSource], plans: Mapping[str, FactorPlan], seed: int) -> None:
        self.sources = dict(sources)
        self.plans = dict(plans)
        self.seed = seed

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
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


def degrade(clean: Clean, factor: str, degradation: Degradation, seed: int) -> Pair:
    """A clean image beside its degraded version as an 8-bit file would hold it, unless the degradation says otherwise.

    A photograph without depth gets a stand-in where the degradation needs one. Where the resolution is lowered, the
    clean image is cut to a multiple of the scale.

    Args:
        clean: The image.
        factor: What the degradation is called, unless it is a mixture of named factors.
        degradation: What degrades it.
        seed: Of the degradation's parameters.
    """
    clean = clean.multiple_of(degradation.scale)
    depth = clean.depth
    if depth is None and degradation.needs_depth:
        depth = stand_in_depth(clean.image.shape[1], clean.image.shape[2], seed)
    parameters = degradation.draw(generator(seed))
    degraded = degradation.apply(to_float(clean.image), depth, **parameters)
    degraded = to_uint8(degraded) if degradation.quantised else degraded
    return Pair(degraded, clean.image, tuple(parameters) if isinstance(degradation, Mixture) else (factor,))


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
