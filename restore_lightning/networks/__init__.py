"""Networks: pure `nn.Module`s that neither import lightning nor read files."""

from restore_lightning.networks.layers import SizeRule
from restore_lightning.networks.mbn import MBN

__all__ = ["MBN", "SizeRule"]
