"""Restoring an image in tiles that overlap and are blended, so that memory is bounded by the tile."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from restore_lightning.networks import SizeRule


def tile_layout(rule: SizeRule, tile: int, overlap: int) -> tuple[int, int]:
    """Side and step of the tiles that a network accepts (pixels).

    Both are multiples of the network's, so that no tile is padded and a tile's strided layers see the grid that
    those of the whole image see.

    >>> tile_layout(SizeRule(multiple=16, minimum=96), tile=250, overlap=32)
    (256, 224)

    Args:
        rule: What the network accepts.
        tile: The least side.
        overlap: What neighbours share at least.

    Raises:
        ValueError: Tiles that are too small for the network, or do not move on.
    """
    if tile < rule.minimum:
        raise ValueError(f"tile {tile}: the network takes images from {rule.padded(1)} pixels on, give at least that")
    side = rule.padded(tile)
    step = (side - overlap) // rule.multiple * rule.multiple
    if step == 0:
        raise ValueError(
            f"overlap {overlap}: tiles of {side} pixels lie {rule.multiple} pixels apart or a multiple of that,"
            f" give at most {side - rule.multiple}"
        )
    return side, step


def tiled(restored: Callable[[Tensor], Tensor], image: Tensor, side: int, step: int) -> Tensor:
    """Restore tile by tile; beside the tile at work only the image and the result are in memory.

    Args:
        restored: What a network makes of a part of the image: the same size, or larger by a whole number.
        image: (B, C, H, W); where it is smaller than a tile, tiles are as large as it.
        side: Of the tiles (pixels).
        step: From one tile to the next; the last ones are moved inwards.

    Returns:
        (B, C, H, W) or larger by that number, in float32 at least.
    """
    height, width = image.shape[2:]
    result: Tensor | None = None
    for (top, rows), (left, columns) in product(placed(height, side, step), placed(width, side, step)):
        part = restored(image[..., top : top + len(rows), left : left + len(columns)])
        scale = part.shape[-1] // len(columns)
        if result is None:
            kind = torch.promote_types(part.dtype, torch.float32)
            result = part.new_zeros(*part.shape[:2], scale * height, scale * width, dtype=kind)
        weights = torch.outer(rows.repeat_interleave(scale), columns.repeat_interleave(scale)).to(result)
        place = result[..., scale * top :, scale * left :][..., : part.shape[-2], : part.shape[-1]]
        place.addcmul_(part.to(result.dtype), weights)
    assert result is not None
    return result


def placed(size: int, side: int, step: int) -> list[tuple[int, Tensor]]:
    """The tiles along one direction: where each begins, and the weight of each of its pixels.

    Next to a neighbour a tile's outermost pixels, a quarter of the overlap, see its border instead of the image and
    weigh nothing; then a ramp over the overlap's middle half rises to 1. So tiles equal the whole image where a
    pixel of the result depends on pixels up to a quarter of the overlap away.

    Args:
        size: Of the image in this direction (pixels).
        side: Of the tiles.
        step: From one tile to the next.

    Returns:
        Weights (side,) in float64; over tiles they sum to 1 at each pixel of the image.
    """
    side = min(size, side)
    starts = [*range(0, size - side, step), size - side]
    overlap = side - step
    context = max(0, overlap // 4)
    ramp = (torch.arange(side, dtype=torch.float64) + 0.5 - context) / max(1, overlap - 2 * context)
    ramp = ramp.clamp(0, 1)
    total = torch.zeros(size, dtype=torch.float64)
    weights = []
    for start in starts:
        weight = torch.ones(side, dtype=torch.float64)
        if start > 0:
            weight *= ramp
        if start + side < size:
            weight *= ramp.flip(0)
        weights.append(weight)
        total[start : start + side] += weight
    return [(start, weight / total[start : start + side]) for start, weight in zip(starts, weights, strict=True)]
