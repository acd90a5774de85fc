"""The multi-branch network (MBN) of paper 2: one stem, a pair of branches per degradation factor."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from restore_lightning.networks.attention import SEResNet, Statistic
from restore_lightning.networks.branches import PAIRS, BranchSettings, ConvLSTMInput, PairKind
from restore_lightning.networks.dual_residual import BlockSpec, DualResidualBlock, durb_m
from restore_lightning.networks.info import NetworkInfo, SizeRule, tiling_of
from restore_lightning.networks.naf_pair import NAF_STEM, NAFPair

Design = Literal["improved", "minimal", "minimal_text"]

HIERARCHY = ["rain", "blur", "jpeg", "haze"]
STEM = ((3, 3, 2), (5, 3, 1), (3, 5, 2), (5, 5, 1), (7, 5, 1))
EXTRA = ((7, 5, 2), (11, 5, 1), (11, 5, 1))
IMPROVED_PAIRS: dict[str, PairKind] = {"rain": "convlstm", "blur": "multiscale", "jpeg": "multiscale"}


RESIDUAL_GAIN = 0.4
"""Scale of what a residual path adds, so that eight blocks keep the size of their input."""
GATE_GAIN = 4.0
"""Undoes what the sigmoid gates of a fresh ConvLSTM take away."""


def levels_of(hierarchy: Sequence[str | Sequence[str]]) -> dict[str, int]:
    """Factor -> its level in a hierarchy of output branches, checked.

    >>> levels_of(["rain", ["blur", "jpeg"], "haze"])
    {'rain': 0, 'blur': 1, 'jpeg': 1, 'haze': 2}

    Raises:
        ValueError: No factor, an empty level, or a factor named twice.
    """
    levels: dict[str, int] = {}
    for level, entry in enumerate(hierarchy):
        factors = [entry] if isinstance(entry, str) else list(entry)
        if not factors:
            raise ValueError(f"hierarchy {list(hierarchy)}: level {level} names no factor")
        for factor in factors:
            if factor in levels:
                raise ValueError(f"hierarchy {list(hierarchy)} names {factor!r} twice: name each factor once")
            if not factor or "." in factor or "/" in factor or hasattr(nn.ModuleDict, factor) or factor == "training":
                raise ValueError(f"hierarchy {list(hierarchy)}: {factor!r} cannot be a name, choose another")
            levels[factor] = level
    if not levels:
        raise ValueError("the hierarchy is empty: name at least one factor, e.g. [rain, blur, jpeg, haze]")
    return levels


class MBN(nn.Module):
    """Multi-branch network (paper 2, section 3 and appendix A; 11,254,072 parameters by default).

    Args:
        hierarchy: Factors in the order in which their output branches leave the trunk: the first
            level right after the stem, each further level one extra block later. A list within
            the list puts several factors on one level: `[rain, [blur, jpeg], haze]`.
        design: "improved": an input branch per factor, of the kinds of appendix A.2 (convlstm for
            rain, multiscale for blur and jpeg, basic for any other). "minimal": one shared basic
            input branch and basic output branches (section 3.2, widths of tables 7 and 8);
            "minimal_text": the same with the widths of the text.
        pairs: Kind of pair by factor, where it differs from the design's.
        width: Channels next to the image; 64 and 96 channels of the paper are 2 and 3 times this.
            Even.
        stem: (k1, k2, dilation) of each DuRB-M of the stem; None: the paper's five. "nafnet": NAFNet's blocks in
            their place (`NAF_STEM`), which neither `statistics` nor `fusion` change.
        extra: The same for the blocks between output branches, one fewer than levels. None: the
            paper's M6, M7, M8, the last one repeated where more are needed.
        iterations: Passes of a convlstm pair.
        scales: Scales of a multiscale pair.
        statistics: Statistics of the attention in each DuRB-M's first module (table 1: TV, GAP).
        fusion: Fused second operation in each DuRB-M (table 1: Fusion).
        init: "torch": torch's defaults, as the authors. "scaled": see `scaled_init`; for short runs.
        released: Compute multiscale outputs as the authors' released network does; for their
            checkpoints only.

    Raises:
        ValueError: A hierarchy or size that cannot be built.
    """

    activation_checkpointing = False
    """Keep only the inputs of each step of a path (an iteration, a scale) and compute the rest again for the backward
    pass."""

    def __init__(
        self,
        hierarchy: list[str | list[str]] = HIERARCHY,  # type: ignore[assignment]  # never changed
        design: Design = "improved",
        pairs: dict[str, PairKind] | None = None,
        width: int = 32,
        stem: list[tuple[int, int, int]] | Literal["nafnet"] | None = None,
        extra: list[tuple[int, int, int]] | None = None,
        iterations: int = 4,
        scales: int = 3,
        statistics: list[Statistic] = ["mean", "tv"],  # noqa: B006
        fusion: bool = True,
        init: Literal["torch", "scaled"] = "torch",
        released: bool = False,
    ) -> None:
        super().__init__()
        self.levels = levels_of(hierarchy)
        self.scales = scales
        self.pairs = _pair_kinds(list(self.levels), design, pairs or {})
        for name, value, least in (("width", width, 2), ("iterations", iterations, 1), ("scales", scales, 1)):
            if value < least:
                raise ValueError(f"{name}={value}: at least {least}")
        if width % 2:
            raise ValueError(f"width={width}: must be even (an output branch has 1.5 times as many channels)")

        stem_blocks = _stem(stem)
        extra_blocks = [BlockSpec(*spec) for spec in _extra(max(self.levels.values()), extra)]
        self.stem = nn.ModuleList(
            durb_m(spec, 3 * width, 2 * width, statistics, fusion)
            if isinstance(spec, BlockSpec)
            else NAFPair(3 * width, 2 * width, *spec)
            for spec in stem_blocks
        )
        self.extra = nn.ModuleList(durb_m(spec, 3 * width, 2 * width, statistics, fusion) for spec in extra_blocks)

        settings = BranchSettings(width, iterations, scales, design == "minimal_text", released)
        self.shared_input = design != "improved"
        self.inputs = nn.ModuleDict(
            {"shared": PAIRS["basic"].input_branch(settings)}
            if self.shared_input
            else {factor: PAIRS[kind].input_branch(settings) for factor, kind in self.pairs.items()}
        )
        self.outputs = nn.ModuleDict(
            {factor: PAIRS[kind].output_branch(settings) for factor, kind in self.pairs.items()}
        )
        if init == "scaled":
            scaled_init(self)
        self.info = NetworkInfo(
            factors=tuple(self.levels),
            channels=3,
            scale=1,
            sizes={factor: self._size_rule(factor, [*stem_blocks, *extra_blocks]) for factor in self.levels},
            tiling=tiling_of(self),
            half_precision=stem != "nafnet",  # not measured with trained weights
            channels_last=True,
        )

    def forward(self, image: Tensor, factor: str) -> list[Tensor]:
        """Remove one factor.

        Args:
            image: (B, 3, H, W) in [0, 1], sides as in `info.sizes[factor]`.
            factor: One of `info.factors`.

        Returns:
            Restored images, coarsest first, not clamped: one for basic and convlstm pairs, one per
            scale for multiscale pairs, the last of them at full size.
        """
        input_branch, *blocks, output_branch = self.path(factor)

        def trunk(x: Tensor, r: Tensor) -> Tensor:
            for block in blocks:
                x, r = block(x, r)
            return x

        return PAIRS[self.pairs[factor]].forward(input_branch, output_branch, trunk, self._run, image)

    def _run(self, step: Callable[..., Any], *inputs: Any) -> Any:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(step, *inputs, use_reentrant=False, preserve_rng_state=False)
        return step(*inputs)

    def path(self, factor: str) -> list[nn.Module]:
        """The modules that `forward` uses for a factor: input branch, blocks, output branch."""
        level = self.levels[self.info.known(factor)]
        input_branch = self.inputs["shared" if self.shared_input else factor]
        return [input_branch, *self.stem, *self.extra[:level], self.outputs[factor]]

    def _size_rule(self, factor: str, blocks: Sequence[BlockSpec | tuple[int, int]]) -> SizeRule:
        """Reflection padding must be smaller than the map it pads; r (and x, half of it) set the bound."""
        input_branch: Any = self.inputs["shared" if self.shared_input else factor]
        stride: int = input_branch.r_stride
        used = blocks[: len(self.stem) + self.levels[factor]]
        reaches = [block.reach for block in used if isinstance(block, BlockSpec)]  # a NAFPair pads by zeros
        multiple = 2 * stride
        rule = SizeRule(multiple, 1)
        return SizeRule(multiple, rule.padded(stride * max([4, *(1 + reach for reach in reaches)])))


def scaled_init(network: MBN) -> None:
    """Start with features of order 1 and the identity as output.

    With torch's defaults each layer shrinks what it gets, and the image is lost in the biases
    after some of the forty layers: a short run learns a constant. Here convolutions keep the
    variance (Kaiming, fan in), residual paths start small, and the last convolutions at zero.
    """
    module: Any
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, SEResNet):
                module.conv2.weight.mul_(RESIDUAL_GAIN)
            elif isinstance(module, DualResidualBlock):
                for path in (module.t1, module.t2):
                    last_convolution(path).weight.mul_(RESIDUAL_GAIN)
            elif isinstance(module, NAFPair):
                for path in (module.up, module.down):
                    last_convolution(path).weight.mul_(RESIDUAL_GAIN)
            elif isinstance(module, ConvLSTMInput):
                last_convolution(module.residual).weight.mul_(GATE_GAIN)
        for module in network.outputs.values():
            for parameter in module.last.parameters():
                nn.init.zeros_(parameter)


def last_convolution(path: nn.Module) -> nn.Conv2d:
    """The convolution whose result a path returns."""
    return [module for module in path.modules() if isinstance(module, nn.Conv2d)][-1]


def _pair_kinds(factors: list[str], design: Design, chosen: dict[str, PairKind]) -> dict[str, PairKind]:
    unknown = set(chosen) - set(factors)
    if unknown:
        raise ValueError(f"pairs: {', '.join(sorted(unknown))} is not in the hierarchy ({', '.join(factors)})")
    if design == "improved":
        return {factor: chosen.get(factor, IMPROVED_PAIRS.get(factor, "basic")) for factor in factors}
    if chosen:
        raise ValueError(f"pairs: design {design!r} has one shared input branch and basic pairs only; use 'improved'")
    return dict.fromkeys(factors, "basic")


def _stem(
    given: Sequence[tuple[int, int, int]] | Literal["nafnet"] | None,
) -> list[BlockSpec] | list[tuple[int, int]]:
    if given == "nafnet":
        return list(NAF_STEM)
    specs = STEM if given is None else given
    if not specs or isinstance(specs, str):
        raise ValueError(f"stem={specs!r}: name at least one block as [k1, k2, dilation], or 'nafnet'")
    return [BlockSpec(*spec) for spec in specs]


def _extra(needed: int, given: list[tuple[int, int, int]] | None) -> list[tuple[int, int, int]]:
    if given is None:
        return [*EXTRA, *[EXTRA[-1]] * needed][:needed]
    if len(given) != needed:
        raise ValueError(f"extra: {len(given)} blocks given, the hierarchy's levels need {needed} between them")
    return given
