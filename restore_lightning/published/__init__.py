"""Networks from the checkpoints that the papers' authors released."""

from restore_lightning.published.load import NETWORKS, load_network

__all__ = ["NETWORKS", "load_network"]
