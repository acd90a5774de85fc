"""Networks: pure `nn.Module`s that neither import lightning nor read files."""

from restore_lightning.networks.din import DIN
from restore_lightning.networks.drn import DRN
from restore_lightning.networks.durn import DuRN
from restore_lightning.networks.layers import SizeRule, has_branches, parameters
from restore_lightning.networks.mbn import MBN
from restore_lightning.networks.nafnet import NAFNet
from restore_lightning.networks.promptir import PromptIR
from restore_lightning.networks.restormer import Restormer

__all__ = ["DIN", "DRN", "MBN", "DuRN", "NAFNet", "PromptIR", "Restormer", "SizeRule", "has_branches", "parameters"]
