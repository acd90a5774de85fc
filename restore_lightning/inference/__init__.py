"""Restoring images with a trained network."""

from restore_lightning.inference.methods import Baseline, DedicatedNetworks, Method, load_method
from restore_lightning.inference.recurrent import ORDER, check_order, order_given, restore_in_order
from restore_lightning.inference.restore import pad_by_reflection, restore

__all__ = [
    "ORDER",
    "Baseline",
    "DedicatedNetworks",
    "Method",
    "check_order",
    "load_method",
    "order_given",
    "pad_by_reflection",
    "restore",
    "restore_in_order",
]
