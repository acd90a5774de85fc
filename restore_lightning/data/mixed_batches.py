"""What batches that mix factors take of each factor's data, and which settings they cannot have."""

from collections.abc import Mapping

from restore_lightning.data.config import BatchKind, FactorConfig, ResolvedFactor
from restore_lightning.data.sources.base import PairSource
from restore_lightning.errors import UserError


def check_batches(
    batches: BatchKind, factors: Mapping[str, FactorConfig], resolved: Mapping[str, ResolvedFactor]
) -> None:
    """Refuse what makes no sense for the kind of batches.

    Args:
        batches: The kind.
        factors: What is said of the factors.
        resolved: The same, every default filled in.

    Raises:
        UserError: A key is of the other kind, or samples of mixed batches differ in size.
    """
    if batches == "one_factor":
        others = {"copies": "minibatches", "samples_per_cycle": "minibatches"}
    else:
        others = {
            "minibatches": "copies or samples_per_cycle",
            "repeats": "copies",
            **dict.fromkeys(("batch_size", "samples_per_step"), "it for all factors together, below data"),
        }
    for factor, data in factors.items():
        where = f"data.factors.{factor}"
        for key, instead in others.items():
            if getattr(data, key) != getattr(FactorConfig, key):
                raise UserError(
                    f"{where}.{key} {getattr(data, key)} says nothing where data.batches is {batches}: give {instead}"
                )
        if data.copies is not None and data.samples_per_cycle is not None:
            raise UserError(f"{where} has copies and samples_per_cycle: give one of them")
    if batches == "mixed":
        sizes = {
            factor: f"{each.crop_size} (clean {each.clean_size}) pixels, {3 if each.colour == 'rgb' else 1} channels"
            for factor, each in resolved.items()
        }
        (first, expected), *rest = sizes.items()
        for factor, size in rest:
            if size != expected:
                raise UserError(
                    f"data.batches mixed: crops of {first} are {expected}, those of {factor} {size}: samples of a batch"
                    " have one size; give one crop_size, scale and colour, or data.batches one_factor"
                )


def check_scales(sources: Mapping[str, PairSource], resolved: Mapping[str, ResolvedFactor]) -> None:
    """Refuse mixed batches of pairs whose clean crops differ in size.

    Args:
        sources: Factor -> its pairs; a stream's are known with its first batch only, which is refused then.
        resolved: How each factor's crops are made.

    Raises:
        UserError: Their scales differ.
    """
    scales = {
        factor: resolved[factor].clean_size // resolved[factor].crop_size if source.scale is None else source.scale
        for factor, source in sources.items()
    }
    if len(set(scales.values())) > 1:
        told = ", ".join(f"{factor} {scale} times" for factor, scale in scales.items())
        raise UserError(
            f"data.batches mixed: clean images are larger than degraded ones ({told}): samples of a batch have one"
            " size; give pairs of one scale, or data.batches one_factor"
        )


def samples_per_cycle(factor: str, data: FactorConfig, images: int | None) -> int:
    """How many samples of a factor a cycle of mixed batches has.

    Args:
        factor: Its name.
        data: What is said of it.
        images: How many its data have; None: any number.

    Raises:
        UserError: It does not follow, or is more than there are images.
    """
    where, given = f"data.factors.{factor}", data.samples_per_cycle
    if images is None:
        if given is None:
            raise UserError(
                f"{where}.samples_per_cycle is missing: its scenes or streamed images have no number that copies could"
                " count; say how many samples a cycle has of them"
            )
        return given
    if given is not None and given > images:
        raise UserError(
            f"{where}.samples_per_cycle {given} is more than its {images} images: give"
            f" {where}.copies {-(-given // images)} (each so often in a cycle), or at most {images}"
        )
    return images * (data.copies or 1) if given is None else given
