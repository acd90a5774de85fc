"""The mean over flips and quarter turns of an image (EDSR's self-ensemble, paper 3's DIN+)."""

from collections.abc import Callable

from torch import Tensor


def self_ensemble(restored: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Restore the 8 flips and turns of images, turn the results back, and average them.

    Args:
        restored: (B, C, H, W) -> its restoration, larger by a whole number or of the same size.
        image: (B, C, H, W).
    """
    turns = [(flip, quarters) for flip in (False, True) for quarters in range(4)]
    results = (_turned_back(restored(_turned(image, *turn)), *turn) for turn in turns)
    total = next(results)
    for other in results:
        total = total + other
    return total / len(turns)


def _turned(image: Tensor, flip: bool, quarters: int) -> Tensor:
    return (image.flip(-1) if flip else image).rot90(quarters, (-2, -1))


def _turned_back(image: Tensor, flip: bool, quarters: int) -> Tensor:
    image = image.rot90(-quarters, (-2, -1))
    return image.flip(-1) if flip else image
