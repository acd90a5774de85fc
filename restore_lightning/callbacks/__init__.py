"""What happens around training: checkpoints, tables, pictures, scores."""

from restore_lightning.callbacks.activation_maps import ActivationMaps
from restore_lightning.callbacks.branch_table import BranchTable
from restore_lightning.callbacks.checkpoint import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from restore_lightning.callbacks.pictures import PictureGrid
from restore_lightning.callbacks.progress import FactorProgress
from restore_lightning.callbacks.report import ReportPage
from restore_lightning.callbacks.run_start import RunStart
from restore_lightning.callbacks.scores import PredictionWriter, ScoreReport

__all__ = [
    "ActivationMaps",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "BranchTable",
    "FactorProgress",
    "LastCheckpoint",
    "PictureGrid",
    "PredictionWriter",
    "ReportPage",
    "RunStart",
    "ScoreReport",
]
