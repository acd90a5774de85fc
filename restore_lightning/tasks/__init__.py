"""Training tasks: LightningModules around a network."""

from restore_lightning.tasks.base import RestorationTask
from restore_lightning.tasks.image_to_image import ImageToImageTask, SingleFactorTask
from restore_lightning.tasks.multi_branch import MultiBranchTask
from restore_lightning.tasks.recurrent import RecurrentTask

__all__ = ["ImageToImageTask", "MultiBranchTask", "RecurrentTask", "RestorationTask", "SingleFactorTask"]
