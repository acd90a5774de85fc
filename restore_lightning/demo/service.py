"""What the page asks for: a photograph restored as `restore apply` restores it."""

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from restore_lightning.errors import UserError
from restore_lightning.inference import InferenceSettings, Restorer
from restore_lightning.inference.photographs import PhotoRestorer
from restore_lightning.io.image_files import read_photo
from restore_lightning.io.images import photo_tensor, photo_with
from restore_lightning.io.photo_writing import write_photo
from restore_lightning.runs.memory import is_out_of_memory

BEFORE, RESTORED = FILES = ("before.png", "restored.png")
"""Of a result's folder."""
KEPT = 4
"""Results that stay on the disk, so that a page in another tab still finds its own."""


@dataclass
class RestorationService:
    """Restores one photograph at a time, in memory that does not grow with them.

    Args:
        trained: The networks, and the order that they were fine-tuned in.
        order_of: (factor, order) as the user gives them -> the factors to remove.
        folder: For results.
        device: As `--device`.
        tile: Photographs with a longer side are restored in tiles of this one (pixels), others whole.

    Raises:
        UserError: A device that cannot be used.
        ValueError: Tiles that are too small for a network.
    """

    trained: Restorer
    order_of: Callable[[str | None, str | None], Sequence[str]]
    folder: Path
    device: str | None
    tile: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _count: int = 0

    def __post_init__(self) -> None:
        """Refuse what no photograph could be restored with."""
        self._restorer(self.trained.order, self.tile)

    def restore(self, content: bytes, name: str, factor: str | None, order: str | None) -> dict[str, Any]:
        """Restore a photograph.

        Args:
            content: Of an image file.
            name: What messages call it.
            factor: To remove; None: all, in an order.
            order: As `--order`; None: the network's own.

        Returns:
            `before` and `restored`, paths of PNG files below `folder`; `width` and `height` of the latter; `said`.

        Raises:
            UserError: It is no image, factors that the network lacks, or too little memory.
        """
        chosen = self.order_of(factor, order)
        with self._lock:
            started = time.monotonic()
            photo = read_photo(BytesIO(content), name)
            image = photo_tensor(photo)[None]
            tile = self.tile if max(image.shape[-2:]) > self.tile else None
            try:
                with torch.inference_mode():
                    result = photo_with(photo, self._restorer(chosen, tile)(image)[0])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise UserError(
                    f"{name} is too large for the memory: start restore demo with a smaller --tile than {self.tile}"
                ) from error
            self._count += 1
            place = self.folder / str(self._count)
            place.mkdir()
            write_photo(photo, place / BEFORE)
            write_photo(result, place / RESTORED)
            shutil.rmtree(self.folder / str(self._count - KEPT), ignore_errors=True)
            height, width = result.pixels.shape[:2]
            how = "whole" if tile is None else f"in tiles of {tile} pixels"
            took = time.monotonic() - started
            return {
                **{kind: f"{self._count}/{file}" for kind, file in zip(("before", "restored"), FILES, strict=True)},
                **{"width": width, "height": height},
                "said": f"{width}x{height} pixels, {', '.join(chosen)} removed, {how}, {took:.1f} s",
            }

    def _restorer(self, order: Sequence[str] | None, tile: int | None) -> PhotoRestorer:
        settings = InferenceSettings(tile=tile)
        return PhotoRestorer(Restorer(self.trained.networks, order, settings), self.device)
