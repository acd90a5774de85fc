"""Restoring images with a trained network."""

from restore_lightning.inference.restore import pad_by_reflection, restore

__all__ = ["pad_by_reflection", "restore"]
