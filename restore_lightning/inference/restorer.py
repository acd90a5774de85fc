"""Restoring images of any size: the one padding routine."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from torch import Tensor

from restore_lightning.errors import UserError
from restore_lightning.inference.padding import pad_by_reflection
from restore_lightning.inference.settings import PLAIN, Inference
from restore_lightning.inference.tiles import tile_layout, tiled
from restore_lightning.networks import SizeRule, has_branches
from restore_lightning.networks.statistics import global_statistics, local_statistics


def size_rule_of(network: Any, factor: str | None = None) -> SizeRule:
    """Image sizes that a network accepts; any where it declares none."""
    rule: Any = getattr(network, "size_rule", SizeRule(1, 1))
    declared: SizeRule = rule if isinstance(rule, SizeRule) else rule(factor)
    return declared


def outputs_of(network: Any, image: Tensor, factor: str | None = None) -> list[Tensor]:
    """What a network makes of images, the result last: the one place that knows how networks are called.

    Args:
        network: With branches for several factors: `(image, factor) -> images`. Without: `stages(image) -> images`
            where its class has this method, else `(image) -> image` or images. `reads_bgr`: its channels are in this
            order. `image_channels` 1: gray, each channel of a colour image is restored by itself.
        image: (B, C, H, W) of a size that it accepts.
        factor: One of its `factors`, if it has branches.
    """
    if has_branches(network):
        outputs: list[Tensor] = network(image, factor)
        return outputs
    if getattr(network, "image_channels", 3) == 1 and image.shape[1] == 3:
        channels = outputs_of(network, image.flatten(0, 1)[:, None])
        return [y.reshape(*image.shape[:2], *y.shape[2:]) for y in channels]
    if getattr(network, "reads_bgr", False):
        image = image.flip(1)
    # Of the class: a ModuleList called `stages` is something else.
    result = network.stages(image) if callable(getattr(type(network), "stages", None)) else network(image)
    images = [result] if isinstance(result, Tensor) else list(result)
    if not images or not all(isinstance(y, Tensor) for y in images):
        raise UserError(
            f"{type(network).__name__} returns {type(result).__name__}: it must return an image, or a list of images"
        )
    return [y.flip(1) for y in images] if getattr(network, "reads_bgr", False) else images


def check_inference(network: Any, factors: Iterable[str | None], inference: Inference) -> None:
    """Refuse what a network cannot be used with, before it is.

    Args:
        network: See `outputs_of`.
        factors: Those that it is going to remove; [None] for a network without branches.
        inference: How.

    Raises:
        ValueError: Tiles that are too small for it or do not move on, or it takes no statistics over whole images.
    """
    if inference.tile is not None:
        for factor in factors:
            tile_layout(size_rule_of(network, factor), inference.tile, inference.overlap or 0)
    if inference.local_statistics is not None:
        global_statistics(network)


def restore(network: Any, image: Tensor, factor: str | None = None, inference: Inference = PLAIN) -> Tensor:
    """Restore images of any size.

    Args:
        network: See `outputs_of`; `size_rule` says which sizes it accepts.
        image: (B, C, H, W) in [0, 1].
        factor: One of the network's factors, for networks that have several.
        inference: In tiles, with local statistics, as a self-ensemble; all of them combine.

    Returns:
        (B, C, H, W), clamped to [0, 1]; larger for super-resolution.

    Raises:
        ValueError: As `check_inference`.
    """
    if not inference.self_ensemble:
        return _restored(network, image, factor, inference).clamp(0, 1)
    turns = [(flip, quarters) for flip in (False, True) for quarters in range(4)]
    restored = (_turned_back(_restored(network, _turned(image, *turn), factor, inference), *turn) for turn in turns)
    total = next(restored)
    for other in restored:
        total = total + other
    return (total / len(turns)).clamp(0, 1)


def _restored(network: Any, image: Tensor, factor: str | None, inference: Inference) -> Tensor:
    def result_of(image: Tensor) -> Tensor:
        crop = inference.local_statistics
        with nullcontext() if crop is None else local_statistics(network, crop, image.shape[-2:]):
            return outputs_of(network, image, factor)[-1]

    rule = size_rule_of(network, factor)
    height, width = image.shape[-2:]
    padded = pad_by_reflection(image, rule.padded(height), rule.padded(width))
    if inference.tile is None:
        result = result_of(padded)
    else:
        result = tiled(result_of, padded, *tile_layout(rule, inference.tile, inference.overlap or 0))
    scale = result.shape[-2] // padded.shape[-2]
    return result[..., : scale * height, : scale * width].to(image.dtype)


def _turned(image: Tensor, flip: bool, quarters: int) -> Tensor:
    return (image.flip(-1) if flip else image).rot90(quarters, (-2, -1))


def _turned_back(image: Tensor, flip: bool, quarters: int) -> Tensor:
    image = image.rot90(-quarters, (-2, -1))
    return image.flip(-1) if flip else image
