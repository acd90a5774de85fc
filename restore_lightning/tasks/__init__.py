"""Training tasks: LightningModules around a network."""

from restore_lightning.tasks.base import RestorationTask
from restore_lightning.tasks.multi_branch import MultiBranchTask
from restore_lightning.tasks.recurrent import RecurrentTask
from restore_lightning.tasks.single_factor import SingleFactorTask

__all__ = ["MultiBranchTask", "RecurrentTask", "RestorationTask", "SingleFactorTask"]
