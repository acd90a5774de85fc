"""What a user says of the data: factors, validation and test sets."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from restore_lightning.data.image_choice import image_choice
from restore_lightning.data.noise_stream import LegacyNoise
from restore_lightning.degradations import DEGRADATIONS, Degradation, Mixture
from restore_lightning.errors import UserError, did_you_mean, shortened_list
from restore_lightning.io.images import Colour
from restore_lightning.io.pixel_windows import Keep
from restore_lightning.metrics import protocols

PROTOCOL = "durn-y"
"""How images are scored where nothing says it."""
Augmentation = Literal["hflip", "vflip", "rot90", "seven"]
BatchKind = Literal["one_factor", "mixed"]
"""Whether the samples of a batch have one factor, or are drawn from all."""


@dataclass
class FactorConfig:
    r"""The training data of one degradation factor, and how its test images are scored.

    Args:
        minibatches: Minibatches per cycle; not where batches mix factors.
        copies: Where batches mix factors: how often a cycle has each image, 1 where nothing is said.
        samples_per_cycle: Where batches mix factors: how many samples of this factor a cycle has, in place of `copies`;
            needed of scenes and streams, which have no number of images.
        batch_size: Samples per batch and device. Without it and `samples_per_step`: what `data` says.
        samples_per_step: Samples of an optimiser step on all devices together, in place of `batch_size`.
        crop_size: Side of the degraded crops in pixels; None: `data.crop_size`. The clean ones are larger where the
            degradation lowers the resolution.
        augment: "hflip" and "vflip" with probability 1/2 each, "rot90" by 0, 90, 180 or 270 degrees. "seven", alone:
            one of the seven flips and turns other than leaving it as it is, as the all-in-one networks are trained.
        degradation: What makes the degraded image; None: the degradation of the factor's name.
        protocol: How validation and test images are scored: a protocol, or a list of them. Of several the first is
            logged, and the others stand beside it in tables and `scores.json`. None: "durn-y", but images of
            `restore mix` and of CDD-11 as their tables are.
        colour: "rgb"; "gray", or "y" (MATLAB's luma in 8 bits): all images are converted, and degraded after that.
        repeats: Minibatches in a row that have the same clean crops, degraded anew.
        shards: Tar shards (`restore shards pack`): a folder, or the URL of one, from which they are streamed. Pairs, or
            clean images that are degraded on the fly.
        clean: Folder of clean training images of this factor.
        degraded: Folder of their degraded versions, of the same names; None: degraded on the fly.
        image_list: Text file that names which images of the folders are used, one a line, by the ends of their paths.
        counterpart: A regular expression of a degraded image's path in its folder, without suffix, and what the clean
            one is called, e.g. ['(\d+)_.*', '\1']; None: they have the same name.
        scenes: Train this factor on procedural scenes. Without `shards`, `clean` and `scenes`: `data.root`.
    """

    minibatches: int = 1
    copies: int | None = None
    samples_per_cycle: int | None = None
    batch_size: int | None = None
    samples_per_step: int | None = None
    crop_size: int | None = None
    augment: list[Augmentation] = field(default_factory=lambda: ["hflip"])
    degradation: Degradation | None = None
    protocol: list[str] | str | None = None
    colour: Colour = "rgb"
    repeats: int = 1
    shards: str | None = None
    clean: str | None = None
    degraded: str | None = None
    image_list: str | None = None
    counterpart: list[str] | None = None
    scenes: bool = False


class Samples(NamedTuple):
    """How many samples a factor's steps take: of one device's batch, or of the whole step.

    Args:
        key: Where it is said, for messages.
        number: As it is said.
        per_step: Whether that is the step, on all devices together; else a batch on one of them.
    """

    key: str
    number: int
    per_step: bool

    def of_step(self, batches: int) -> int:
        """Samples of a step of so many batches, on all devices together."""
        return self.number if self.per_step else self.number * batches

    def of_batch(self, devices: int, accumulated: int) -> int:
        """Samples of one batch on one device.

        Args:
            devices: On all nodes together.
            accumulated: Batches of a step on each device.

        Raises:
            UserError: The step cannot be divided so.
        """
        batches = devices * accumulated
        samples = self.of_step(batches)
        if samples % batches == 0:
            return samples // batches
        fewer = samples // batches * batches
        nearest = f"{fewer} or {fewer + batches}" if fewer else str(batches)
        divisors = [str(number) for number in range(1, samples + 1) if samples % number == 0]
        raise UserError(
            f"{self.key} {samples} on {devices} devices x {accumulated} accumulated batches: give a multiple of"
            f" {batches}, e.g. {nearest}, or devices x batches of {shortened_list(divisors, most=8)}"
        )


@dataclass(frozen=True)
class ResolvedFactor:
    """How a factor's crops are made: what a `FactorConfig` says, every default filled in.

    The degradation is None where pairs are given.
    """

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


def samples_of(where: str, batch_size: int | None, samples_per_step: int | None) -> Samples | None:
    """What is said of a step's samples; None: nothing.

    Args:
        where: The key above both, for messages.
        batch_size: See `FactorConfig`.
        samples_per_step: See `FactorConfig`.

    Raises:
        UserError: Two things, or no positive number.
    """
    given = {"batch_size": batch_size, "samples_per_step": samples_per_step}
    said = [
        Samples(f"{where}.{name}", number, name == "samples_per_step")
        for name, number in given.items()
        if number is not None
    ]
    if len(said) > 1:
        raise UserError(
            f"{said[0].key} {batch_size} (on one device) and {said[1].key} {samples_per_step} (on all together) are"
            " both given: set one of them to null"
        )
    if said and said[0].number < 1:
        raise UserError(f"{said[0].key} {said[0].number}: give at least 1")
    return said[0] if said else None


def resolve_factor(factor: str, data: FactorConfig, crop_size: int) -> ResolvedFactor:
    """Fill in a factor's defaults.

    Args:
        factor: Its name.
        data: What is said of it.
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
    _check_choice(where, data)
    if data.degradation is not None and data.degraded is not None:
        raise UserError(f"{where} has a degradation and a folder of degraded images: give one of them")
    paired = data.degraded is not None or data.shards is not None
    if data.degradation is None and not paired and factor not in DEGRADATIONS:
        raise UserError(
            f"unknown factor {factor!r}: there is no degradation of this name ({', '.join(DEGRADATIONS)});"
            f" rename it, set {where}.degradation, or give pairs by {where}.degraded and {where}.clean"
            f"{did_you_mean(factor, DEGRADATIONS)}"
        )
    for name in ("minibatches", "copies", "samples_per_cycle", "repeats"):
        value = getattr(data, name)
        if value is not None and value < 1:
            more = "" if name == "repeats" else ", or leave the factor out"
            raise UserError(f"{where}.{name} {value}: give at least 1{more}")
    crop = data.crop_size if data.crop_size is not None else crop_size
    if crop < 1:
        key = "data.crop_size" if data.crop_size is None else f"{where}.crop_size"
        raise UserError(f"{key} {crop}: give at least 1 pixel")
    if "seven" in data.augment and len(data.augment) > 1:
        raise UserError(f"{where}.augment {data.augment}: seven holds all flips and turns, give it alone")
    protocols(PROTOCOL if data.protocol is None else data.protocol)
    degradation = data.degradation
    if degradation is None and data.degraded is None and factor in DEGRADATIONS:
        degradation = DEGRADATIONS[factor]()
    return ResolvedFactor(crop, tuple(data.augment), degradation, data.colour, data.repeats)


def _check_choice(where: str, given: "FactorConfig | EvaluationConfig") -> None:
    """Refuse what is said of images that lie in no folder."""
    for key, other in (("image_list", "clean"), ("counterpart", "degraded")):
        if getattr(given, key) is not None and getattr(given, other) is None:
            raise UserError(f"{where}.{key} says nothing without {where}.{other}: leave it out, or name the folder")
    image_choice(where, given.image_list, given.counterpart)


def factors_of(name: str, degradation: Degradation | None) -> tuple[str, ...]:
    """The network's factors that images of a factor's data can have: several where they are mixed."""
    return degradation.possible if isinstance(degradation, Mixture) else (name,)


@dataclass
class EvaluationConfig:
    """A validation or test set of one's own.

    Args:
        clean: Folder of clean images.
        degraded: Folder of degraded ones of the same names; None: degraded on the fly, as the factor's training data.
        factor: What degrades them, one of `data.factors`; None: the only one.
        protocol: How they are scored, as in `FactorConfig`; None: as the factor's.
        shards: Folder of tar shards, in place of `clean`: pairs, or clean images that are degraded on the fly.
        split: Of the shards; None: "val" or "test", whichever the set is for.
        multiple: Degraded images are cut to multiples of so many pixels; clean ones before they are degraded. Paper 2
            cuts JPEG images to 16.
        keep: What is left: "top-left", cut at the right and the bottom, or the "centre", as the all-in-one networks'
            codes do.
        image_list: See `FactorConfig`.
        counterpart: See `FactorConfig`.
        noise: Of clean images: noise as published test codes add it; None: degraded as the factor's training data.
    """

    clean: str | None = None
    degraded: str | None = None
    factor: str | None = None
    protocol: list[str] | str | None = None
    shards: str | None = None
    split: str | None = None
    multiple: int = 1
    keep: Keep = "top-left"
    image_list: str | None = None
    counterpart: list[str] | None = None
    noise: LegacyNoise | None = None

    def check(self, where: str) -> None:
        """Refuse what says too little or too much; `where` is its key, for messages."""
        if (self.shards is None) == (self.clean is None):
            raise UserError(f"{where}: give shards (a folder of them) or clean (a folder of images), one of the two")
        for key, other in (("degraded", "shards"), ("split", "clean")):
            if getattr(self, key) is not None and getattr(self, other) is not None:
                raise UserError(f"{where}.{key} says nothing beside {other}: leave it out")
        if self.shards is not None and is_url(self.shards):
            raise UserError(
                f"{where}.shards {self.shards}: validation and test sets are read from local folders; copy it"
            )
        _check_choice(where, self)
        if self.noise is not None:
            if self.degraded is not None:
                raise UserError(f"{where}: noise and a folder of degraded images are given: give one of them")
            self.noise.check(f"{where}.noise")
        if self.multiple < 1:
            raise UserError(f"{where}.multiple {self.multiple}: give at least 1 pixel")


def is_url(name: str) -> bool:
    """Whether a name is that of something kept elsewhere."""
    return "://" in name
