"""Networks: pure `nn.Module`s that neither import lightning nor read files."""

from restore_lightning.networks.din import DIN
from restore_lightning.networks.drn import DRN
from restore_lightning.networks.durn import DuRN
from restore_lightning.networks.info import NetworkInfo, SizeRule, network_info, set_size_multiple
from restore_lightning.networks.layers import parameters
from restore_lightning.networks.mbn import MBN

__all__ = [
    "DIN",
    "DRN",
    "MBN",
    "DuRN",
    "NetworkInfo",
    "SizeRule",
    "network_info",
    "parameters",
    "set_size_multiple",
]
