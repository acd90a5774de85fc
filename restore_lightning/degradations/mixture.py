"""Several factors on one image, as paper 2 (section 5.4, appendix C) and CDD-11 mix them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.blur import Blur
from restore_lightning.degradations.haze import Haze, RelativeHaze
from restore_lightning.degradations.jpeg import Jpeg
from restore_lightning.degradations.low_light import LowLight
from restore_lightning.degradations.rain import Rain
from restore_lightning.degradations.snow import Snow


def appendix_c() -> dict[str, Degradation]:
    """Paper 2's factors in the order of their synthesis, with the parameter sets of appendix C."""
    return {"haze": Haze(), "rain": Rain(), "blur": Blur(), "jpeg": Jpeg()}


CDD11 = (
    *("low", "haze", "rain", "snow"),
    *("low_haze", "low_rain", "low_snow", "haze_rain", "haze_snow"),
    *("low_haze_rain", "low_haze_snow"),
)
"""CDD-11's degradations."""


def cdd11_factors() -> dict[str, Degradation]:
    """CDD-11's factors in the order of OneRestore's synthesis; masks of rain and snow are our own."""
    return {"low": LowLight(), "rain": Rain(blend="add"), "snow": Snow(), "haze": RelativeHaze()}


def cdd11(*names: str) -> "Mixture":
    """One of CDD-11's eleven degradations, or of those that are named."""
    return Mixture(cdd11_factors(), names or CDD11)


@dataclass(frozen=True)
class Mixture(Degradation):
    """X of the factors, X uniform from 1 to all of them, every choice of X factors equally likely; or one of a list.

    The image is quantised by JPEG coding only, and at the end.

    Args:
        factors: Factor -> its degradation, in the order in which they are applied.
        combinations: Which factors may come together, each equally likely, e.g. "low_haze"; None: all.
    """

    factors: Mapping[str, Degradation] = field(default_factory=appendix_c)
    combinations: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Refuse what nothing can be drawn from."""
        if not self.factors:
            raise ValueError("Mixture.factors is empty: name at least one factor")
        for name, degradation in self.factors.items():
            if degradation.scale > 1 or not degradation.quantised:
                raise ValueError(f"Mixture.factors: {name!r} changes the size or leaves [0, 1], and cannot be mixed in")
        unknown = {name for chosen in self.combinations or () for name in chosen.split("_")} - set(self.factors)
        if unknown or (self.combinations is not None and not self.combinations):
            raise ValueError(
                f"Mixture.combinations: {', '.join(sorted(unknown)) or 'none'}: join names of"
                f" {', '.join(self.factors)} by _"
            )

    @property
    def possible(self) -> tuple[str, ...]:
        """The factors that an image may have, in the order in which they are applied."""
        if self.combinations is None:
            return tuple(self.factors)
        chosen = {name for combination in self.combinations for name in combination.split("_")}
        return tuple(name for name in self.factors if name in chosen)

    @property
    def needs_depth(self) -> bool:
        """Whether any factor does."""
        return any(self.factors[name].needs_depth for name in self.possible)

    @property
    def margin(self) -> int:
        """A pixel depends on what each factor reaches, one after the other."""
        return sum(self.factors[name].margin for name in self.possible)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Factor -> its parameters, of the factors that are chosen."""
        if self.combinations is not None:
            return self.draw_of(self.combinations[int(rng.integers(len(self.combinations)))].split("_"), rng)
        names = list(self.factors)
        chosen = rng.choice(len(names), size=rng.integers(1, len(names) + 1), replace=False)
        return self.draw_of([names[i] for i in chosen], rng)

    def draw_of(self, chosen: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
        """The parameters of given factors, in the order in which they are applied."""
        return {name: factor.draw(rng) for name, factor in self.factors.items() if name in chosen}

    def apply(
        self,
        image: Tensor,
        depth: Tensor | None,
        depth_range: tuple[float, float] | None = None,
        **parameters: Any,
    ) -> Tensor:
        """The factors of `parameters`, one after the other."""
        for name, factor in self.factors.items():
            if name in parameters:
                of_whole = {"depth_range": depth_range} if factor.needs_depth else {}
                image = factor.apply(image, depth, **of_whole, **parameters[name])
        return image.clamp(0, 1)
