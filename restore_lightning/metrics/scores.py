"""Scores of a set of images: a thin torchmetrics `Metric` around a protocol, and one of those per version."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from restore_lightning.metrics.mean_scores import mean_over_images, mean_scores
from restore_lightning.metrics.protocols import Protocol
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
    numbers: list[Tensor]
    values: list[Tensor]

    def __init__(self, protocol: Protocol | str, reduction: Literal["mean", "none"] = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.protocol = _protocol(protocol) if isinstance(protocol, str) else protocol
        self.reduction = reduction
        self.add_state("numbers", default=[], dist_reduce_fx="cat")
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        # Empty tensors of the right type: processes gather these where one of them saw no image.
        self.numbers.append(torch.empty(0, dtype=torch.int64, device=self.device))
        self.values.append(torch.empty(0, len(SCORES), dtype=torch.float64, device=self.device))

    def update(self, restored: Tensor, clean: Tensor, numbers: Tensor | None = None) -> None:
        """Score a batch.

        Args:
            restored: (B, C, H, W) in [0, 1].
            clean: (B, C, H, W) in [0, 1].
            numbers: (B,) places of the images in the data set, from 0: an image that a padded last batch or a padding
                sampler delivers twice, on one process or on two, counts once. None: every image counts.

        Raises:
            ValueError: Other than one number per image, or images that the protocol cannot score.
        """
        if numbers is None:
            numbers = torch.full((len(clean),), UNNUMBERED)
        if numbers.shape != (len(clean),):
            raise ValueError(f"numbers of shape {tuple(numbers.shape)} for {len(clean)} images: give one per image")
        scored = self.protocol.scores(restored, clean)
        self.values.append(torch.stack([scored[score] for score in SCORES], dim=1).to(self.device))
        self.numbers.append(numbers.to(self.device, torch.int64))

    def compute(self) -> dict[str, Tensor]:
        """{"psnr" (dB), "ssim"} over the images of all processes.

        Returns:
            "mean": 0-dim means, NaN where there are no images. "none": (N,) values, and "numbers" (N,), in the order of
            the numbers; images without a number come first, as they were scored, and are numbered -1. Of a single image
            torchmetrics makes them 0-dim.
        """
        numbers, values = _cat(self.numbers), _cat(self.values)
        order = numbers.argsort(stable=True)
        numbers, values = numbers[order], values[order]
        again = torch.zeros_like(numbers, dtype=torch.bool)
        again[1:] = (numbers[1:] == numbers[:-1]) & (numbers[1:] != UNNUMBERED)
        numbers, values = numbers[~again], values[~again]
        scored = dict(zip(SCORES, values.T, strict=True))
        if self.reduction == "none":
            return {**scored, "numbers": numbers}
        return {name: column.new_tensor(mean_over_images(column)) for name, column in scored.items()}


class SetScores:
    """Scores of several versions of each image of a set: degraded, restored by a method.

    Args:
        factor: The set's degradation factor, for the tables.
        protocol_name: How the images are scored.
        versions: Their names.
        scale: How many times larger than the network's input the images are.
    """

    def __init__(
        self, factor: str, protocol_name: str, versions: Sequence[str] = ("degraded", "restored"), scale: int = 1
    ) -> None:
        self.factor = factor
        self.protocol = _protocol(protocol_name, scale)
        self.versions = tuple(versions)
        self._scores = {version: ProtocolScores(self.protocol, "none") for version in versions}

    def to(self, device: torch.device | str) -> Self:
        """Keep the values on this device."""
        for scores in self._scores.values():
            scores.to(device)
        return self

    def update(self, images: Mapping[str, Tensor], clean: Tensor, numbers: Tensor | None = None) -> None:
        """Score (B, C, H, W) images in [0, 1], by version; `numbers` as in `ProtocolScores.update`."""
        for version, scores in self._scores.items():
            scores.update(images[version], clean, numbers)

    def compute(self) -> dict[str, Any]:
        """{"images": number, version: {"psnr" (dB), "ssim", "identical"}}; to be called by every process.

        Means over the images of all processes; "identical" counts those that equal the clean image, which are left out
        of the PSNR's mean.
        """
        scored = self._scored()
        means = {version: asdict(mean_scores(one["psnr"], one["ssim"])) for version, one in scored.items()}
        return {"images": len(scored[self.versions[0]]["numbers"]), **means}

    def per_image(self) -> dict[int, dict[str, dict[str, float]]]:
        """{number: {version: {"psnr" (dB), "ssim"}}} over all processes; to be called by every process."""
        found: dict[int, dict[str, dict[str, float]]] = {}
        for version, values in self._scored().items():
            columns = (values[name].tolist() for name in ("numbers", *SCORES))
            for number, *scored in zip(*columns, strict=True):
                found.setdefault(number, {})[version] = dict(zip(SCORES, scored, strict=True))
        return found

    def _scored(self) -> dict[str, dict[str, Tensor]]:
        """Version -> (N,) numbers and values, as `ProtocolScores.compute`."""
        computed = {version: scores.compute() for version, scores in self._scores.items()}
        return {
            version: {name: column.reshape(-1) for name, column in values.items()}
            for version, values in computed.items()
        }

    @property
    def images(self) -> int:
        """Number of images scored on this process, repeated ones included."""
        return sum(map(len, self._scores[self.versions[0]].numbers))


def _cat(state: list[Tensor] | Tensor) -> Tensor:
    """A state's values: torchmetrics makes one tensor of the list where processes were gathered."""
    return state if isinstance(state, Tensor) else torch.cat(state)
