"""Scores by the papers' protocols."""

from typing import TYPE_CHECKING, Any

from restore_lightning.metrics.functional import psnr, ssim
from restore_lightning.metrics.mean_scores import MeanScores, mean_scores
from restore_lightning.metrics.protocols import PROTOCOLS, Protocol, protocol, protocols

if TYPE_CHECKING:
    from restore_lightning.metrics.scores import ProtocolScores

__all__ = [
    "PROTOCOLS",
    "MeanScores",
    "Protocol",
    "ProtocolScores",
    "mean_scores",
    "protocol",
    "protocols",
    "psnr",
    "ssim",
]


def __getattr__(name: str) -> Any:
    """The `Metric` on demand: torchmetrics takes seconds to import, which `restore score` can do without."""
    if name == "ProtocolScores":
        from restore_lightning.metrics.scores import ProtocolScores

        return ProtocolScores
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
