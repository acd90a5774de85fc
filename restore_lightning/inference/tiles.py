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


def tiled(restored: Callable[[Tensor], Tensor], image: Tensor, side: int, step: int, at_once: int = 1) -> Tensor:
    """Restore tile by tile; beside the tiles at work only the image and the result are in memory, where the image is.

    Args:
        restored: What a network makes of parts of the image: the same size, or larger by a whole number. Where its
            device has no memory for several, it gets fewer at once.
        image: (B, C, H, W); where it is smaller than a tile, tiles are as large as it.
        side: Of the tiles (pixels).
        step: From one tile to the next; the last ones are moved inwards.
        at_once: Tiles that `restored` gets at once, as (tiles * B, C, side, side).

    Returns:
        (B, C, H, W) or larger by that number, in float32 at least, on the image's device.
    """
    height, width = image.shape[2:]
    sides = min(height, side), min(width, side)
    down, across = placed(height, side, step), placed(width, side, step)
    places = list(product(range(len(down)), range(len(across))))
    result: Tensor | None = None
    while places:
        now = places[:at_once]
        corners = [(down[row][0], across[column][0]) for row, column in now]
        parts = [image[..., top : top + sides[0], left : left + sides[1]] for top, left in corners]
        try:
            made = restored(torch.cat(parts) if len(parts) > 1 else parts[0])
        except torch.OutOfMemoryError:
            if len(parts) == 1:
                raise
            at_once = len(parts) // 2
            continue
        made = made.to(image.device)
        scale = made.shape[-1] // sides[1]
        if result is None:
            kind = torch.promote_types(made.dtype, torch.float32)
            result = made.new_zeros(len(image), made.shape[1], scale * height, scale * width, dtype=kind)
            # All at once: where the image is on a GPU, no tile waits for its weights.
            rows, columns = (
                torch.stack([weight for _, weight in along]).to(kind).repeat_interleave(scale, dim=1).to(image.device)
                for along in (down, across)
            )
        of_tiles = made.reshape(-1, len(image), *made.shape[1:])
        for (row, column), (top, left), part in zip(now, corners, of_tiles, strict=True):
            place = result[..., scale * top :, scale * left :][..., : part.shape[-2], : part.shape[-1]]
            place.addcmul_(part.to(result.dtype), torch.outer(rows[row], columns[column]))
        del places[: len(now)]
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
