"""What happens around training: checkpoints, tables, pictures, scores."""

from restore_lightning.callbacks.activation_maps import ActivationMaps
from restore_lightning.callbacks.branch_table import BranchTable
from restore_lightning.callbacks.checkpointing import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from restore_lightning.callbacks.earlier_run import RemoveEarlierRun
from restore_lightning.callbacks.first_batch import FirstBatch
from restore_lightning.callbacks.leak_check import LeakCheck
from restore_lightning.callbacks.picture_grid import PictureGrid
from restore_lightning.callbacks.prediction_writer import PredictionWriter
from restore_lightning.callbacks.progress import FactorProgress
from restore_lightning.callbacks.report_page import ReportPage
from restore_lightning.callbacks.run_folder import RunConfig, RunFolder
from restore_lightning.callbacks.score_report import ScoreReport
from restore_lightning.callbacks.scoring import Scoring

__all__ = [
    "ActivationMaps",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "BranchTable",
    "FactorProgress",
    "FirstBatch",
    "LastCheckpoint",
    "LeakCheck",
    "PictureGrid",
    "PredictionWriter",
    "RemoveEarlierRun",
    "ReportPage",
    "RunConfig",
    "RunFolder",
    "ScoreReport",
    "Scoring",
]
