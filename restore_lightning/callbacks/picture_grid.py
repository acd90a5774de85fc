"""Picture grids: degraded, restored and clean side by side, per factor."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from restore_lightning.io.images import enlarged, to_array, to_uint8, write_image

COLUMNS = "degraded | restored | clean"


class PictureGrid(Callback):
    """At validation one grid per set: a row per image, degraded | restored | clean.

    The latest grids lie in `<run>/pictures/`; W&B keeps those of every validation.

    Args:
        rows: Images per grid.
        side: Images are cut to the centre of this size (pixels).
    """

    def __init__(self, rows: int = 4, side: int = 256) -> None:
        self.rows = rows
        self.side = side
        self._grids: dict[str, list[Tensor]] = {}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keep the first images of each set."""
        if trainer.is_global_zero:
            self._keep(outputs, batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log the grids."""
        grids, self._grids = self._grids, {}
        if trainer.sanity_checking:
            return
        for name, rows in grids.items():
            grid = torch.cat([_fit_width(row, max(r.shape[2] for r in rows)) for row in rows], dim=1).cpu()
            write_image(grid, Path(trainer.default_root_dir, "pictures", f"val-{name.replace('/', '-')}.png"))
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    # Bytes, not floats: W&B shows floats in [0, 1] as black.
                    logger.log_image(
                        f"val/{name}/pictures", [to_array(grid)], step=trainer.global_step, caption=[COLUMNS]
                    )

    def _keep(self, restored: Tensor, batch: dict[str, Any]) -> None:
        rows = self._grids.setdefault(batch["set"], [])
        if len(rows) < self.rows:
            degraded = enlarged(batch["degraded"], batch["clean"])
            images = [_centre(image[0], self.side) for image in (degraded, restored, batch["clean"])]
            # Bytes that stay on the device: a copy to the host would wait for it at every image.
            rows.append(torch.cat([to_uint8(image).expand(3, -1, -1) for image in images], dim=2))


def _centre(image: Tensor, side: int) -> Tensor:
    height, width = image.shape[1:]
    h, w = min(height, side), min(width, side)
    top, left = (height - h) // 2, (width - w) // 2
    return image[:, top : top + h, left : left + w]


def _fit_width(image: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(image, (0, width - image.shape[2]), value=255)
