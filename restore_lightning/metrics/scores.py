"""Scores of a set of images: a thin torchmetrics `Metric` around a protocol, and one of those per version."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from restore_lightning.io.arrays import where_float64_is
from restore_lightning.metrics.mean_scores import mean_over_images, mean_scores
from restore_lightning.metrics.protocols import Protocol, protocols
from restore_lightning.metrics.protocols import protocol as _protocol

SCORES = ("psnr", "ssim")
UNNUMBERED = -1


class ProtocolScores(Metric):
    """PSNR and SSIM by a protocol: one value per image, over all batches and processes; errors are never pooled.

    Args:
        protocol: How images are scored; a name is one of `PROTOCOLS`.
        reduction: "mean": the means over images; identical ones, whose PSNR is infinite, are left out of the PSNR's.
            "none": every image's values.
        kwargs: torchmetrics' own, as `sync_on_compute`.

    >>> scores = ProtocolScores("durn-rgb")
    >>> clean = torch.zeros(2, 3, 16, 16)
    >>> scores.update(clean + 10 / 255, clean)
    >>> round(float(scores.compute()["psnr"]), 3)  # 20 log10(255 / 10)
    28.131
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    rows: list[Tensor]

    def __init__(self, protocol: Protocol | str, reduction: Literal["mean", "none"] = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.protocol = _protocol(protocol) if isinstance(protocol, str) else protocol
        self.reduction = reduction
        self.add_state("rows", default=[], dist_reduce_fx="cat")
        self.reset()

    def set_dtype(self, dst_type: str | torch.dtype) -> "ProtocolScores":
        """Nothing: scores are float64, kept as bits."""
        return self

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        # An empty tensor of the right type: processes gather these where one of them saw no image.
        self.rows.append(torch.empty(0, 1 + len(SCORES), dtype=torch.int64, device=self.device))

    def update(self, restored: Tensor, clean: Tensor, numbers: Tensor | None = None) -> None:
        """Score a batch, in float64 whatever the images' type, also within autocast; a GPU is not waited for.

        Args:
            restored: (B, C, H, W) in [0, 1].
            clean: (B, C, H, W) in [0, 1].
            numbers: (B,) places of the images in the data set, from 0: an image that a padded last batch or a padding
                sampler delivers twice, on one process or on two, counts once. None: every image counts.

        Raises:
            ValueError: Other than one number per image, or images that the protocol cannot score.
        """
        if numbers is None:
            numbers = torch.full((len(clean),), UNNUMBERED, device=clean.device)
        if numbers.shape != (len(clean),):
            raise ValueError(f"numbers of shape {tuple(numbers.shape)} for {len(clean)} images: give one per image")
        scored = self.protocol.scores(restored, clean)
        values = torch.stack([scored[score] for score in SCORES], dim=1)
        # The bits of float64, beside the numbers: every device can keep them, and a module's `.to(dtype)` does.
        row = torch.cat([numbers.to(values.device, torch.int64)[:, None], values.view(torch.int64)], dim=1)
        self.rows.append(row.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """{"psnr" (dB), "ssim"} over the images of all processes, on the CPU: a GPU is waited for once.

        Returns:
            "mean": 0-dim means, NaN where there are no images. "none": (N,) values, and "numbers" (N,), in the order of
            the numbers; images without a number come first, as they were scored, and are numbered -1. Of a single image
            torchmetrics makes them 0-dim.
        """
        # torchmetrics makes one tensor of the list where processes were gathered.
        rows = (self.rows if isinstance(self.rows, Tensor) else torch.cat(self.rows)).cpu()
        rows = rows[rows[:, 0].argsort(stable=True)]
        numbers = rows[:, 0]
        again = torch.zeros_like(numbers, dtype=torch.bool)
        again[1:] = (numbers[1:] == numbers[:-1]) & (numbers[1:] != UNNUMBERED)
        numbers, values = numbers[~again], rows[~again, 1:].view(torch.float64)
        scored = dict(zip(SCORES, values.T, strict=True))
        if self.reduction == "none":
            return {**scored, "numbers": numbers}
        return {name: column.new_tensor(mean_over_images(column)) for name, column in scored.items()}


class SetScores:
    """Scores of several versions of each image of a set: degraded, restored by a method.

    Args:
        factor: The set's degradation factor, for the tables.
        protocol_names: How the images are scored, by one protocol or several; the first where none is asked for.
        versions: Their names.
        scale: How many times larger than the network's input the images are.
    """

    def __init__(
        self,
        factor: str,
        protocol_names: str | Sequence[str],
        versions: Sequence[str] = ("degraded", "restored"),
        scale: int = 1,
    ) -> None:
        self.factor = factor
        self.protocol, *_ = chosen = protocols(protocol_names, scale)
        self.versions = tuple(versions)
        # Each of all versions: processes gather once a protocol.
        self._scores = {one.name: ProtocolScores(one, "none") for one in chosen}

    @property
    def protocol_names(self) -> tuple[str, ...]:
        """The protocols, in their order."""
        return tuple(self._scores)

    def to(self, device: torch.device | str) -> Self:
        """Keep the values on this device."""
        for scores in self._scores.values():
            scores.to(device)
        return self

    def update(self, images: Mapping[str, Tensor], clean: Tensor, numbers: Tensor) -> None:
        """Score (B, C, H, W) images in [0, 1], by version; `numbers` as in `ProtocolScores.update`, one per image."""
        clean = where_float64_is(clean)
        for place, version in enumerate(self.versions):
            for scores in self._scores.values():
                scores.update(images[version], clean, numbers * len(self.versions) + place)

    def compute(self, by: str | None = None) -> dict[str, Any]:
        """{"images": number, version: {"psnr" (dB), "ssim", "identical"}} by a protocol; to be called by every process.

        Means over the images of all processes; "identical" counts those that equal the clean image, which are left out
        of the PSNR's mean.
        """
        numbers, scored = self._scored(by)
        means = {version: asdict(mean_scores(one["psnr"], one["ssim"])) for version, one in scored.items()}
        return {"images": len(numbers), **means}

    def per_image(self, by: str | None = None) -> dict[int, dict[str, dict[str, float]]]:
        """{number: {version: {"psnr" (dB), "ssim"}}} by a protocol; to be called by every process."""
        numbers, scored = self._scored(by)
        found: dict[int, dict[str, dict[str, float]]] = {number: {} for number in numbers.tolist()}
        for version, values in scored.items():
            columns = (values[score].tolist() for score in SCORES)
            for entry, *of_image in zip(found.values(), *columns, strict=True):
                entry[version] = dict(zip(SCORES, of_image, strict=True))
        return found

    def _scored(self, by: str | None) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """(N,) numbers, and by version the images' scores in that order."""
        scores = self._scores[by or self.protocol.name]
        computed = {name: column.reshape(-1) for name, column in scores.compute().items()}
        step = len(self.versions)
        return computed["numbers"][::step] // step, {
            version: {score: computed[score][place::step] for score in SCORES}
            for place, version in enumerate(self.versions)
        }

    @property
    def images(self) -> int:
        """Number of images scored on this process, repeated ones included."""
        return sum(map(len, self._scores[self.protocol.name].rows)) // len(self.versions)
