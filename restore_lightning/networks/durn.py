"""The dual residual networks (DuRN) of paper 1: six presets of one network."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.dual_residual import BLOCK_DESIGNS, BlockKind, BlockSpec, ConnectionStyle, Norm, durb
from restore_lightning.networks.info import NetworkInfo, SizeRule, tiling_of
from restore_lightning.networks.layers import conv
from restore_lightning.networks.statistics import InstanceNorm

PresetName = Literal["P", "P-no-norm", "U", "US", "S", "S-P"]
RELEASED_EPS = 1e-9
"""In the square root of the released instance normalisation."""


class Block(NamedTuple):
    """A dual residual block of a network.

    Args:
        kind: Which of paper 1's blocks.
        k1: Kernel of T1's convolution.
        k2: Kernel of T2's convolution.
        dilation: Dilation of T1's convolution.
    """

    kind: BlockKind
    k1: int
    k2: int
    dilation: int = 1


class FrontLayer(NamedTuple):
    """A convolution of the front, followed by norm and ReLU.

    Args:
        width: Output channels, as a multiple of the network's width.
        kernel: Its size.
        stride: 1 or 2.
        zeros: Zero padding; None: padded by reflection, keeping the size.
    """

    width: int
    kernel: int
    stride: int = 1
    zeros: int | None = None


@dataclass(frozen=True)
class Preset:
    """One of paper 1's networks as data.

    Args:
        width: Channels next to the image.
        front: The layers before the blocks. Three of them leave a quarter of the image's resolution.
        back: How features become an image: "flat", by "pixel shuffle" or by "transposed" convolutions.
        norm: "batch", "instance" or none.
        blocks: The dual residual blocks. Where their kind changes, r starts again from x.
        image_channels: Of the task that the preset was made for.
        subtracts: The network's residual is taken from the image, not added.
    """

    width: int
    front: tuple[FrontLayer, ...]
    back: Literal["flat", "pixel shuffle", "transposed"]
    norm: Literal["batch", "instance"] | None
    blocks: tuple[Block, ...]
    image_channels: Literal[1, 3] = 3
    subtracts: bool = False

    @property
    def strided(self) -> bool:
        """The blocks work at a quarter of the image's resolution."""
        return any(layer.stride > 1 for layer in self.front)


def _blocks(kind: BlockKind, *kernels: tuple[int, int, int]) -> tuple[Block, ...]:
    return tuple(Block(kind, *each) for each in kernels)


GROWING = ((5, 3, 1), (7, 5, 1), (7, 5, 2), (11, 7, 2), (11, 5, 1), (11, 7, 3))
"""(k1, k2, dilation) of DuRN-P and -S (supplement, table 1)."""
FLAT = (FrontLayer(1, 3), FrontLayer(1, 3))
PRESETS: dict[PresetName, Preset] = {
    "P": Preset(32, FLAT, "flat", "batch", _blocks("P", *GROWING), image_channels=1),
    "P-no-norm": Preset(32, FLAT, "flat", None, _blocks("P", *GROWING)),
    "U": Preset(
        64,
        (FrontLayer(1, 7, zeros=3), FrontLayer(2, 3, 2, zeros=1), FrontLayer(4, 3, 2, zeros=1)),
        "pixel shuffle",
        "instance",
        _blocks("U", (3, 3, 3), (7, 3, 1), (3, 3, 3), (7, 3, 1), (3, 3, 2), (5, 3, 1)),
    ),
    "US": Preset(
        64,
        (FrontLayer(1, 7, zeros=3), FrontLayer(1, 3, 2, zeros=1), FrontLayer(1, 3, 2, zeros=1)),
        "pixel shuffle",
        None,
        _blocks("US", *((k1, 3, 1) for k1 in (5, 5, 7, 7, 11, 11, 11, 11, 11, 11, 11, 11))),
    ),
    "S": Preset(64, FLAT, "flat", "batch", _blocks("S", *GROWING)),
    "S-P": Preset(
        64,
        (FrontLayer(1, 5, zeros=1), FrontLayer(2, 3, 2, zeros=1), FrontLayer(2, 3, 2, zeros=1)),
        "transposed",
        "batch",
        _blocks("S", (3, 3, 12), (3, 3, 8), (3, 3, 6))
        + _blocks("P", (3, 5, 2), (5, 5, 1), (3, 5, 3), (7, 5, 1), (3, 5, 4), (7, 5, 1)),
        subtracts=True,
    ),
}


class DuRN(nn.Module):
    """A stack of dual residual blocks between a front and a back (paper 1, section 4 and supplement A).

    The result is `tanh(last convolution) + image` ("S-P": `image - tanh(...)`).

    Args:
        preset: "P" gray Gaussian noise, "P-no-norm" real noise, "U" motion blur, "US" haze, "S" rain streaks,
            "S-P" raindrops. Any of them can be trained on any task (supplement, table 5).
        image_channels: 3, or 1 for gray images; None: the preset's (1 for "P", 3 for the others).
        width: Channels next to the image, even; None: the preset's.
        blocks: `[kind, k1, k2, dilation]` of each block, kinds P, U, S, US as the preset has; None: the preset's.
        style: Connection style of table 1 and fig. 1: "b", "c" or the dual residual "d".
        released: Compute as the authors' released network does; for their checkpoints only.

    Raises:
        ValueError: Style "c" where the blocks change the size, or blocks that do not go with the preset.
    """

    def __init__(
        self,
        preset: PresetName = "P",
        image_channels: Literal[1, 3] | None = None,
        width: int | None = None,
        blocks: list[tuple[BlockKind, int, int, int]] | None = None,
        style: ConnectionStyle = "d",
        released: bool = False,
    ) -> None:
        super().__init__()
        design = PRESETS[preset]
        width = design.width if width is None else width
        if width < 2 or width % 2:
            raise ValueError(f"width={width}: an even number, at least 2")
        chosen = [Block(*block) for block in (design.blocks if blocks is None else blocks)]
        _check_blocks(preset, design, chosen)
        self.preset = preset
        colours = image_channels or design.image_channels
        self.subtracts = design.subtracts
        norm = _norm(design, released)

        channels = [colours, *(layer.width * width for layer in design.front)]
        self.front = nn.ModuleList(
            _front_layer(layer, inputs, outputs, norm)
            for layer, (inputs, outputs) in zip(design.front, pairwise(channels), strict=True)
        )
        self.kinds = [block.kind for block in chosen]
        self.blocks = nn.ModuleList(
            durb(kind, BlockSpec(k1, k2, dilation), channels[-1], norm, style, dilated_zeros=design.strided)
            for kind, k1, k2, dilation in chosen
        )
        self.back = nn.Sequential(*_back(design, channels, norm))
        self.tanh = nn.Tanh()
        self.info = NetworkInfo(
            channels=colours,
            scale=1,
            sizes=_size_rule(design, chosen),
            colour="bgr" if released and preset == "S-P" else "rgb",  # as the authors' raindrop images were read
            tiling=tiling_of(self),
            channels_last=True,
            layers=_layers(design, chosen),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Restore.

        Args:
            image: (B, image_channels, H, W) in [0, 1], sides as in `info.sizes`.

        Returns:
            The same shape, not clamped.
        """
        states = [image]
        for layer in self.front:
            states.append(layer(states[-1]))
        x = states[-1]
        # r has the resolution of x, or twice that.
        r = states[-2] if BLOCK_DESIGNS[self.kinds[0]].upsampling else x
        for place, block in enumerate(self.blocks):
            if place and self.kinds[place] != self.kinds[place - 1]:
                r = x
            x, r = block(x, r)
        residual = self.tanh(self.back(x))
        return image - residual if self.subtracts else image + residual


class SmoothUpsampling(nn.Module):
    """A transposed convolution, then a 2x2 mean against its checkerboard, ReLU (DuRN-S-P)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.transposed = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, 2H, 2W)."""
        enlarged = functional.pad(self.transposed(x), (1, 0, 1, 0), mode="reflect")
        return functional.relu(functional.avg_pool2d(enlarged, 2, stride=1))


def _norm(design: Preset, released: bool) -> Norm:
    if design.norm == "batch":
        return nn.BatchNorm2d
    if design.norm == "instance":
        return partial(InstanceNorm, affine=True, eps=RELEASED_EPS if released else 1e-5)
    return nn.Identity


def _front_layer(layer: FrontLayer, inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    convolution = (
        conv(inputs, outputs, layer.kernel, layer.stride)
        if layer.zeros is None
        else nn.Conv2d(inputs, outputs, layer.kernel, layer.stride, layer.zeros)
    )
    return nn.Sequential(convolution, norm(outputs), nn.ReLU())


def _back(design: Preset, channels: Sequence[int], norm: Norm) -> list[nn.Module]:
    """From features of `channels[-1]` to an image of `channels[0]` channels, without the tanh."""
    image, width, x = channels[0], channels[1], channels[-1]
    if design.back == "flat":
        return [*_normed(x, norm), conv(x, image)]
    if design.back == "transposed":
        return [SmoothUpsampling(x, x), *_normed(x, norm), SmoothUpsampling(x, width), conv(width, image, 5)]
    upsampling = BLOCK_DESIGNS[design.blocks[0].kind].upsampling
    assert upsampling is not None
    layers: list[nn.Module] = []
    for _ in range(2):
        more = upsampling.outputs * x
        x = more // 4
        layers += [conv(more // upsampling.outputs, more, upsampling.kernel), norm(more), nn.PixelShuffle(2)]
        layers += _normed(x, norm)
    return [*layers, nn.Conv2d(x, image, 7, padding=3)]


def _normed(channels: int, norm: Norm) -> list[nn.Module]:
    return [conv(channels, channels), norm(channels), nn.ReLU()]


def _check_blocks(preset: str, design: Preset, blocks: Sequence[Block]) -> None:
    allowed = sorted({block.kind for block in design.blocks})
    if not blocks:
        raise ValueError("blocks: name at least one as [kind, k1, k2, dilation]")
    for block in blocks:
        if block.kind not in allowed:
            raise ValueError(f"blocks: preset {preset!r} has blocks of kind {', '.join(allowed)}, not {block.kind!r}")


def _size_rule(design: Preset, blocks: Sequence[Block]) -> SizeRule:
    """Reflection padding must be smaller than the map that it pads."""
    resolution = 4 if design.strided else 1  # pixels of the image per pixel of x
    least = [2 * resolution]  # x is padded by 1
    for block in blocks:
        stride = resolution // 2 if BLOCK_DESIGNS[block.kind].upsampling else resolution
        reach = [(block.k2 - 1) // 2]
        if block.dilation == 1 or not design.strided:
            reach.append(block.dilation * (block.k1 - 1) // 2)
        least.append(stride * (1 + max(reach)))
    return SizeRule(resolution, SizeRule(resolution, 1).padded(max(least)))


def _layers(design: Preset, blocks: Sequence[Block]) -> dict[str, str]:
    """What the papers show of a network, as names of modules.

    Fig. 12: what the S blocks of DuRN-S-P find ("attention"), and the residual. Supplement, fig. 1: x before the
    first and after a quarter, half and all of DuRN-US's blocks.
    """
    count, kinds = len(blocks), [block.kind for block in blocks]
    layers = {"l=0": f"front.{len(design.front) - 1}"}
    layers |= {f"l={place}": f"blocks.{place - 1}" for place in sorted({count // 4, count // 2, count}) if place}
    if "S" in kinds and kinds[-1] != "S":
        layers |= {"attention": f"blocks.{max(place for place, kind in enumerate(kinds) if kind == 'S')}"}
    return layers | {"residual": "tanh"}
