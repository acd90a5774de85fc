"""Scores of a set of images: a thin torchmetrics `Metric` around a protocol."""

import torch
from torch import Tensor
from torchmetrics import Metric

from restore_lightning.metrics.functional import mean_over_images
from restore_lightning.metrics.protocols import protocol

COLUMNS = (("degraded", "psnr"), ("degraded", "ssim"), ("restored", "psnr"), ("restored", "ssim"))


class SetScores(Metric):
    """PSNR and SSIM of degraded and restored images, per image, averaged over images.

    Args:
        factor: The set's degradation factor, for the tables.
        protocol_name: How the images are scored.
    """

    full_state_update = False
    values: list[Tensor]

    def __init__(self, factor: str, protocol_name: str) -> None:
        super().__init__()
        self.factor = factor
        self.protocol = protocol(protocol_name)
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, degraded: Tensor, restored: Tensor, clean: Tensor) -> None:
        """Score (B, 3, H, W) images in [0, 1]."""
        columns = [
            getattr(self.protocol, score)(image, clean) for image in (degraded, restored) for score in ("psnr", "ssim")
        ]
        self.values.append(torch.stack(columns, dim=1))

    def compute(self) -> dict[str, dict[str, float]]:
        """{"degraded": {"psnr" (dB), "ssim"}, "restored": ...}, means over images."""
        values = torch.cat(list(self.values)) if isinstance(self.values, list) else self.values
        table: dict[str, dict[str, float]] = {"degraded": {}, "restored": {}}
        for (image, score), column in zip(COLUMNS, values.T, strict=True):
            table[image][score] = mean_over_images(column)
        return table

    @property
    def images(self) -> int:
        """Number of images scored on this process."""
        return sum(len(value) for value in self.values)
