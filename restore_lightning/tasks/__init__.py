"""Training tasks: LightningModules around a network."""

from restore_lightning.tasks.base import RestorationTask
from restore_lightning.tasks.multi_branch import MultiBranchTask

__all__ = ["MultiBranchTask", "RestorationTask"]
