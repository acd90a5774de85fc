"""Restoring images with a trained network."""

from restore_lightning.inference.baselines import Baseline, Compared, read_baseline
from restore_lightning.inference.padding import pad_by_reflection
from restore_lightning.inference.recurrent_order import PAPER_ORDER, check_order, order_given
from restore_lightning.inference.restorer import RestorationStep, Restorer, network_outputs, restore, restore_in_order
from restore_lightning.inference.settings import DEFAULT, InferenceSettings

__all__ = [
    "DEFAULT",
    "PAPER_ORDER",
    "Baseline",
    "Compared",
    "InferenceSettings",
    "RestorationStep",
    "Restorer",
    "check_order",
    "network_outputs",
    "order_given",
    "pad_by_reflection",
    "read_baseline",
    "restore",
    "restore_in_order",
]
