"""How a trained network is used on an image, as one object."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InferenceSettings:
    """Ways of using a trained network; training uses none of them.

    Args:
        tile: Restore a large image in square tiles of this side (pixels of the degraded image; rounded up to what
            the network accepts), so that its memory is that of a tile. None: whole.
        overlap: Pixels that neighbouring tiles share at least. A quarter of them at either end only gives context,
            the tiles are blended in the middle half. None: 64, of tiles below 256 a quarter.
        local_statistics: Take statistics over windows of this side around each position instead of over the whole
            image: the side of the training crops (pixels of the degraded image). None: over the whole.
        self_ensemble: The mean over the 8 flips and quarter turns of the image (EDSR; paper 3's DIN+).

    Raises:
        ValueError: A size below 1, or an overlap that is no part of a tile.
    """

    tile: int | None = None
    overlap: int | None = None
    local_statistics: int | None = None
    self_ensemble: bool = False

    def __post_init__(self) -> None:
        """Refuse what no network can be used with."""
        for name in ("tile", "local_statistics"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value}: give at least 1 pixel")
        if self.tile is None:
            return
        if self.overlap is None:
            object.__setattr__(self, "overlap", min(64, self.tile // 4))  # what was used is recorded
        elif not 0 <= self.overlap < self.tile:
            raise ValueError(f"overlap {self.overlap}: give 0 or more pixels, less than the tile's {self.tile}")

    @property
    def plus(self) -> str:
        """What it adds to a network's name in tables, as in paper 3's DIN+."""
        return "+" if self.self_ensemble else ""


DEFAULT = InferenceSettings()
"""Whole images, once."""
