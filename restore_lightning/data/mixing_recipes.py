"""What `restore mix` makes of clean images: paper 2's mixed-degradation set, or an eleven-fold one as CDD-11."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from restore_lightning.degradations import CDD11, Mixture, cdd11

PURE = ("rain", "blur", "haze", "jpeg")
"""Paper 2's factors, in the order of table 4's columns."""
COMBINATIONS = tuple("+".join(chosen) for n in (2, 3, 4) for chosen in combinations(PURE, n))
"""Six of two, four of three, one of four factors, in the order of table 4's rows."""
TEST_SETS = (*PURE, *COMBINATIONS, "random")
"""Paper 2's 16 test sets; "random" has X factors, X uniform from 1 to 4."""
TRAINING_SETS = (*PURE, "mixed")
"""Paper 2's pure training set, by factor, and the mixed one."""


@dataclass(frozen=True)
class Recipe:
    """How the versions of a clean image are made.

    Args:
        about: Which published set it follows.
        mixture: The factors, in the order of their synthesis.
        training: Version of a training image -> its factors; None: those that the mixture draws.
        test: The same of a test image.
        test_share: Of the published set's images.
        protocol: How the set is scored where it was published.
        stand_in_depth: Whether images without depth get a stand-in.
    """

    about: str
    mixture: Callable[[], Mixture]
    training: Mapping[str, tuple[str, ...] | None]
    test: Mapping[str, tuple[str, ...] | None]
    test_share: float
    protocol: str
    stand_in_depth: bool = False


def _drawn_last(names: tuple[str, ...]) -> dict[str, tuple[str, ...] | None]:
    return {name: tuple(name.split("+")) for name in names[:-1]} | {names[-1]: None}


_ELEVEN = {name: tuple(name.split("_")) for name in CDD11}
RECIPES = {
    "mbn": Recipe(
        "mixed degradations (Liu et al. 2020, appendix C)",
        Mixture,
        _drawn_last(TRAINING_SETS),
        _drawn_last(TEST_SETS),
        492 / 8970,
        "mbn-rgb",
    ),
    "cdd11": Recipe(
        "eleven degradations (as CDD-11, Guo et al. 2024; masks of rain and snow of our own)",
        cdd11,
        _ELEVEN,
        _ELEVEN,
        200 / 1383,
        "aio-rgb",
        stand_in_depth=True,
    ),
}
"""By name."""


def published_protocol(versions: Iterable[str]) -> str | None:
    """How images of these versions are scored where such a set was published; None: of no such set, or of either.

    >>> published_protocol(["rain", "rain+blur"]), published_protocol(["low", "haze"]), published_protocol(["haze"])
    ('mbn-rgb', 'aio-rgb', None)
    """
    named = set(versions)
    found = [recipe.protocol for recipe in RECIPES.values() if named <= {*recipe.training, *recipe.test}]
    return found[0] if len(found) == 1 else None
