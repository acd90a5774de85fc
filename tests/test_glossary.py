"""docs/glossary.md names places that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = sorted(set(re.findall(r"`([\w/]+/(?:\w+\.py)?|\w+\.py)`", (ROOT / "docs/glossary.md").read_text())))


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_there(place):
    assert (ROOT / "restore_lightning" / place).exists() or (ROOT / place).exists()
