"""Where weights come from: checkpoints, bundles, the networks that are shipped, and those on the hub."""

from restore_lightning.weights.bundle import Bundle, read_bundle, read_config, write_bundle
from restore_lightning.weights.sources import Weights, find_weights

__all__ = ["Bundle", "Weights", "find_weights", "read_bundle", "read_config", "write_bundle"]
