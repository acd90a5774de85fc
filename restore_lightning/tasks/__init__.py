"""Training tasks: LightningModules around a network."""

from restore_lightning.tasks.base import RestorationTask
from restore_lightning.tasks.multi_branch import MultiBranchTask
from restore_lightning.tasks.recurrent import RecurrentTask

__all__ = ["MultiBranchTask", "RecurrentTask", "RestorationTask"]
