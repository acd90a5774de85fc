"""Means of scores, over a set's images or over sets."""

import math
from dataclasses import dataclass

from restore_lightning.io.arrays import Array


@dataclass(frozen=True)
class MeanScores:
    """Mean PSNR and SSIM.

    Args:
        psnr: In dB; infinite where all images equal the clean ones, NaN where one is no number.
        ssim: NaN where one is no number.
        identical: Images that equal the clean one, which are left out of the PSNR's mean.
    """

    psnr: float
    ssim: float
    identical: int = 0

    def __str__(self) -> str:
        """PSNR / SSIM, as in the papers' tables."""
        return f"{self.psnr:.2f} / {self.ssim:.4f}"

    @property
    def are_numbers(self) -> bool:
        """Whether neither is NaN."""
        return not (math.isnan(self.psnr) or math.isnan(self.ssim))

    def gain_over(self, other: "MeanScores") -> float:
        """The gain in PSNR (dB); NaN where one of the two is infinite."""
        gain = self.psnr - other.psnr
        return gain if math.isfinite(gain) else math.nan


def mean_scores(psnr: Array, ssim: Array) -> MeanScores:
    """The means of (N,) values; infinite PSNRs are counted as identical images."""
    return MeanScores(mean_over_images(psnr), mean_over_images(ssim), int((psnr == math.inf).sum()))


def mean_over_images(values: Array) -> float:
    """The mean; identical images, whose PSNR is infinite, do not swallow the others; NaN if there are none."""
    finite = values[values != math.inf]
    kept = finite if len(finite) else values
    return float(kept.mean()) if len(kept) else math.nan
