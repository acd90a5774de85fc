"""The images that `restore predict` restores, as files."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from restore_lightning.io.images import to_uint8, write_image


class PredictionWriter(Callback):
    """After each image of `predict`: writes it to `<run>/predictions/<set>/<name>.png`."""

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Writes one restored image."""
        restored: Tensor = outputs
        write_image(
            to_uint8(restored[0]).cpu(),
            Path(trainer.default_root_dir, "predictions", batch["set"], f"{batch['name']}.png"),
        )

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says where they are."""
        if trainer.is_global_zero:
            print(f"restored images: {Path(trainer.default_root_dir, 'predictions')}", flush=True)
