"""Networks: pure `nn.Module`s that neither import lightning nor read files."""

from restore_lightning.networks.din import DIN
from restore_lightning.networks.drn import DRN
from restore_lightning.networks.durn import DuRN
from restore_lightning.networks.info import NetworkInfo, SizeRule, network_info, set_size_multiple
from restore_lightning.networks.layers import parameters, to_channels_last
from restore_lightning.networks.mbn import MBN
from restore_lightning.networks.nafnet import NAFNet
from restore_lightning.networks.promptir import PromptIR
from restore_lightning.networks.restormer import Restormer

__all__ = [
    "DIN",
    "DRN",
    "MBN",
    "DuRN",
    "NAFNet",
    "NetworkInfo",
    "PromptIR",
    "Restormer",
    "SizeRule",
    "network_info",
    "parameters",
    "set_size_multiple",
    "to_channels_last",
]
