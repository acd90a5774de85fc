"""Networks from the checkpoints that the papers' authors released, and what is known of them."""

from restore_lightning.published.cards import card
from restore_lightning.published.load import NETWORKS, import_network, load_network

__all__ = ["NETWORKS", "card", "import_network", "load_network"]
