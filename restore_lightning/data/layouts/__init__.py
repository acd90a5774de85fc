"""How published data sets are laid out in folders."""
