"""Scores of a set of images: a thin torchmetrics `Metric` around a protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from restore_lightning.metrics.functional import mean_over_images
from restore_lightning.metrics.protocols import protocol

SCORES = ("psnr", "ssim")


class SetScores(Metric):
    """PSNR and SSIM of several versions of each image (degraded, restored by a method), averaged over images.

    Args:
        factor: The set's degradation factor, for the tables.
        protocol_name: How the images are scored.
        versions: Their names.
        scale: How many times larger than the network's input the images are.
    """

    full_state_update = False
    values: list[Tensor]

    def __init__(
        self, factor: str, protocol_name: str, versions: Sequence[str] = ("degraded", "restored"), scale: int = 1
    ) -> None:
        super().__init__()
        self.versions = tuple(versions)
        self.factor = factor
        self.protocol = protocol(protocol_name, scale)
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, images: Mapping[str, Tensor], clean: Tensor) -> None:
        """Score (B, C, H, W) images in [0, 1], by version."""
        columns = [
            getattr(self.protocol, score)(images[version], clean) for version in self.versions for score in SCORES
        ]
        self.values.append(torch.stack(columns, dim=1))

    def compute(self) -> dict[str, Any]:
        """{"images": number, version: {"psnr" (dB), "ssim"}}, over the images of all processes."""
        values = torch.cat(list(self.values)) if isinstance(self.values, list) else self.values
        means = iter(mean_over_images(column) for column in values.T)
        scores = {version: {score: next(means) for score in SCORES} for version in self.versions}
        return {"images": len(values), **scores}

    @property
    def images(self) -> int:
        """Number of images scored on this process."""
        return sum(len(value) for value in self.values)
