"""Training data by the cyclic schedule, and the images that are scored."""

from restore_lightning.data.module import RestorationData
from restore_lightning.data.schedule import CyclicSchedule, Turn
from restore_lightning.data.training import FactorData

__all__ = ["CyclicSchedule", "FactorData", "RestorationData", "Turn"]
