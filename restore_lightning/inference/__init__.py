"""Restoring images with a trained network."""

from restore_lightning.inference.methods import Baseline, DedicatedNetworks, Method, Pass, load_method, with_factors
from restore_lightning.inference.order import ORDER, check_order, order_given, restore_in_order
from restore_lightning.inference.padding import pad_by_reflection
from restore_lightning.inference.restorer import check_inference, outputs_of, restore, size_rule_of
from restore_lightning.inference.settings import PLAIN, Inference

__all__ = [
    "ORDER",
    "PLAIN",
    "Baseline",
    "DedicatedNetworks",
    "Inference",
    "Method",
    "Pass",
    "check_inference",
    "check_order",
    "load_method",
    "order_given",
    "outputs_of",
    "pad_by_reflection",
    "restore",
    "restore_in_order",
    "size_rule_of",
    "with_factors",
]
