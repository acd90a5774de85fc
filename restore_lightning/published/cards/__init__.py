"""Model cards: paper, repository, licence, training data and published scores of each released network."""

from pathlib import Path
from typing import Any

import yaml


def card(network: str) -> dict[str, Any]:
    """A network's card.

    Args:
        network: A name of `restore_lightning.published.NETWORKS`.

    >>> card("DRN")["factor"]
    'rain'
    """
    described: dict[str, Any] = yaml.safe_load((Path(__file__).parent / f"{network}.yaml").read_text(encoding="utf-8"))
    return described
