"""What a network says of itself: how it is called, and on which images."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn

from restore_lightning.networks.statistics import GlobalStatistics


@dataclass(frozen=True)
class SizeRule:
    """Image sizes that a network accepts: `multiple` of pixels per side, at least `minimum`."""

    multiple: int
    minimum: int

    def padded(self, size: int) -> int:
        """The smallest accepted size that is not below `size` (pixels).

        >>> SizeRule(multiple=16, minimum=64).padded(65)
        80
        """
        if isinstance(size, torch.SymInt):
            return self._padded_in_graph(size)
        size = max(size, self.minimum)
        return size + -size % self.multiple

    def _padded_in_graph(self, size: int) -> int:
        """`padded` while torch.export traces a size that it leaves open.

        A number that is read from a tensor is a symbol of its own, so that the result is known to be a multiple. As an
        expression of the size torch could not prove what layers ask of it.
        """
        untyped: Any = torch
        # By positive numbers: ONNX rounds quotients towards zero.
        steps = (untyped.sym_max(size, self.minimum) + self.multiple - 1) // self.multiple
        count = untyped.full((), steps, dtype=torch.int64).item()
        untyped._check(count >= self.padded(1) // self.multiple)
        untyped._check(count * self.multiple >= size)
        padded: int = count * self.multiple
        return padded


@dataclass(frozen=True)
class NetworkInfo:
    """What a network declares of itself as its attribute `info`. None: not known, and not checked.

    Args:
        factors: Those that it is told, as `network(image, factor) -> images`; empty: it is called `network(image)`.
        channels: Of its images. One with 1 restores each channel of a colour image by itself.
        scale: How many times larger than the degraded image its result is.
        sizes: Image sizes that it accepts, where factors differ one rule for each; None: any are tried.
        colour: The order of its images' channels.
        tiling: "exact": a pixel of the result depends on a bounded neighbourhood, so that tiles that overlap by enough
            equal the whole image. "approximate": statistics over the whole image enter.
        half_precision: Whether bfloat16 under autocast is as good as float32: PSNR of photographs restored by trained
            weights within 0.01 dB, measured. What computes in it by default does so for these networks only.
        channels_last: Whether it takes images whose channels lie last in memory, which is faster.
        layers: Title -> name of a module whose features are worth seeing.
    """

    factors: tuple[str, ...] = ()
    channels: int | None = None
    scale: int | None = None
    sizes: SizeRule | Mapping[str, SizeRule] | None = None
    colour: Literal["rgb", "bgr"] = "rgb"
    tiling: Literal["exact", "approximate"] = "approximate"
    half_precision: bool = False
    channels_last: bool = False
    layers: Mapping[str, str] = field(default_factory=dict)

    def size_rule(self, factor: str | None = None) -> SizeRule:
        """Image sizes that it accepts, for one of its factors where it has some."""
        if isinstance(self.sizes, Mapping):
            return self.sizes[self.known(factor)]
        return self.sizes or SizeRule(1, 1)

    def known(self, factor: str | None) -> str:
        """A factor that it is told.

        Raises:
            ValueError: It is none of its factors.
        """
        if factor not in self.factors:
            raise ValueError(f"unknown factor {factor!r}: this network has {', '.join(self.factors)}")
        return factor


def network_info(network: nn.Module) -> NetworkInfo:
    """What a network declares as its `info`.

    Other modules may say the same by attributes: `size_rule` (a `SizeRule`, or a function of the factor), `factors`,
    `image_channels`, `reads_bgr`, `maps` (layers).
    """
    info: Any = getattr(network, "info", None)
    if isinstance(info, NetworkInfo):
        return info
    rule: Any = getattr(network, "size_rule", None)
    factors = tuple(getattr(network, "factors", ())) if callable(rule) else ()
    sizes: Any = {factor: rule(factor) for factor in factors} or (rule(None) if callable(rule) else rule)
    return NetworkInfo(
        factors,
        getattr(network, "image_channels", None),
        sizes=sizes,
        colour="bgr" if getattr(network, "reads_bgr", False) else "rgb",
        layers=getattr(network, "maps", {}),
    )


def set_size_multiple(network: Any, multiple: int) -> None:
    """Say of a network that does not say it that it accepts sides of multiples of so many pixels."""
    rule = SizeRule(multiple, multiple)
    if isinstance(getattr(network, "info", None), NetworkInfo):
        network.info = replace(network.info, sizes=rule)
    else:  # its `info`, if it has one, is something else
        network.size_rule = rule


def tiling_of(network: nn.Module) -> Literal["exact", "approximate"]:
    """Whether tiles equal the whole image, by whether any module takes statistics over whole maps."""
    return "approximate" if any(isinstance(one, GlobalStatistics) for one in network.modules()) else "exact"
