"""Several factors on one image, as paper 2 mixes them (section 5.4, appendix C)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.blur import Blur
from restore_lightning.degradations.haze import Haze
from restore_lightning.degradations.jpeg import Jpeg
from restore_lightning.degradations.rain import Rain


def appendix_c() -> dict[str, Degradation]:
    """Paper 2's factors in the order of their synthesis, with the parameter sets of appendix C."""
    return {"haze": Haze(), "rain": Rain(), "blur": Blur(), "jpeg": Jpeg()}


@dataclass(frozen=True)
class Mixture(Degradation):
    """X of the factors, X uniform from 1 to all of them, every choice of X factors equally likely.

    The image is quantised by JPEG coding only, and at the end.

    Args:
        factors: Factor -> its degradation, in the order in which they are applied.
    """

    factors: Mapping[str, Degradation] = field(default_factory=appendix_c)

    def __post_init__(self) -> None:
        """Refuse what nothing can be drawn from."""
        if not self.factors:
            raise ValueError("Mixture.factors is empty: name at least one factor")
        for name, degradation in self.factors.items():
            if degradation.scale > 1 or not degradation.quantised:
                raise ValueError(f"Mixture.factors: {name!r} changes the size or leaves [0, 1], and cannot be mixed in")

    @property
    def needs_depth(self) -> bool:
        """Whether any factor does."""
        return any(degradation.needs_depth for degradation in self.factors.values())

    @property
    def margin(self) -> int:
        """A pixel depends on what each factor reaches, one after the other."""
        return sum(degradation.margin for degradation in self.factors.values())

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Factor -> its parameters, of the factors that are chosen."""
        names = list(self.factors)
        chosen = rng.choice(len(names), size=rng.integers(1, len(names) + 1), replace=False)
        return self.draw_of([names[i] for i in chosen], rng)

    def draw_of(self, chosen: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
        """The parameters of given factors, in the order in which they are applied."""
        return {name: factor.draw(rng) for name, factor in self.factors.items() if name in chosen}

    def apply(self, image: Tensor, depth: Tensor | None, **parameters: Any) -> Tensor:
        """The factors of `parameters`, one after the other."""
        for name, factor in self.factors.items():
            if name in parameters:
                image = factor.apply(image, depth, **parameters[name])
        return image
