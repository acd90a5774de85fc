"""Training data by the cyclic schedule, and the images that are scored."""

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.data.schedule import CyclicSchedule, ScheduledStep

__all__ = ["CyclicSchedule", "FactorConfig", "RestorationData", "ScheduledStep"]
