"""Scores by the papers' protocols."""

from restore_lightning.metrics.functional import mean_over_images, psnr, ssim
from restore_lightning.metrics.protocols import PROTOCOLS, Protocol, protocol

__all__ = ["PROTOCOLS", "Protocol", "mean_over_images", "protocol", "psnr", "ssim"]
