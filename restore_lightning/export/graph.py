"""A network's passes as one graph, from an image of any size to the restored one."""

import copy
import io
import logging
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from math import lcm
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from restore_lightning.errors import UserError, shortened_text
from restore_lightning.export.description import INPUT, Description, Precision
from restore_lightning.inference import Restorer, network_outputs
from restore_lightning.inference.padding import reflected_to
from restore_lightning.networks import SizeRule, network_info

TYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SIDE = 64
"""Of the image that passes are traced with (pixels), where the network takes it."""


class Passes(nn.Module):
    """What `Restorer.restore` does with whole images, as operations that do not depend on their size.

    Args:
        restorer: Networks, which are copied, and the order of their passes.
        precision: That they compute in.
        padding: Images of any size are padded and cut within; without it they must be of sizes that all passes take.

    Raises:
        ValueError: The restorer has no order.
    """

    def __init__(self, restorer: Restorer, precision: Precision = "float32", padding: bool = True) -> None:
        super().__init__()
        if not restorer.order:
            raise ValueError("no order is given: name the factor of each pass")
        self.factors = list(restorer.order)
        used = [restorer.networks[factor] for factor in self.factors]
        distinct = list(dict.fromkeys(used))
        # Each once: a network that makes several passes would be stored under a name for each of them.
        self.networks = nn.ModuleList(copy.deepcopy(distinct)).to(TYPES[precision])
        self.places = [distinct.index(network) for network in used]
        self.padding = padding
        infos = [network_info(network) for network in used]
        self.rules = [info.size_rule(factor) for info, factor in zip(infos, self.factors, strict=True)]
        sizes = common_rule(self.rules)
        if padding and len(set(self.rules)) > 1:
            sizes = SizeRule(1, 1)
        self.description = Description(
            network=type(self.networks[0]).__name__,
            removes=", ".join(self.factors),
            channels=infos[0].channels or 3,
            scale=infos[0].scale or 1,
            multiple=sizes.multiple,
            minimum=sizes.minimum,
            padded=padding,
            precision=precision,
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1], float32 -> (B, C, scale * H, scale * W), the same."""
        kind = TYPES[self.description.precision]
        scale = self.description.scale
        for place, factor, rule in zip(self.places, self.factors, self.rules, strict=True):
            height, width = image.shape[-2:]
            if self.padding and rule != SizeRule(1, 1):
                image = reflected_to(image, rule.padded(height), rule.padded(width))
            image = network_outputs(self.networks[place], image.to(kind), factor)[-1].to(torch.float32)
            image = image[..., : scale * height, : scale * width].clamp(0, 1)
        return image


def common_rule(rules: Sequence[SizeRule]) -> SizeRule:
    """Sizes that all passes take.

    >>> common_rule([SizeRule(4, 20), SizeRule(6, 8)])
    SizeRule(multiple=12, minimum=24)
    """
    multiple = lcm(*(rule.multiple for rule in rules))
    return SizeRule(multiple, SizeRule(multiple, 1).padded(max(rule.minimum for rule in rules)))


def traced(passes: Passes) -> ExportedProgram:
    """The program of passes, with batch, height and width left open.

    Raises:
        UserError: An operation that cannot be exported.
    """
    rule = common_rule(passes.rules)
    side = rule.padded(max(SIDE, 2 * rule.multiple))
    height, width = (side, side + rule.multiple)
    sides = [Dim(name, min=1) for name in ("height", "width")]
    if passes.padding:
        height, width = height + 3, width + 5
    elif rule != SizeRule(1, 1):
        least = rule.minimum // rule.multiple
        sides = [rule.multiple * Dim(f"{name}_steps", min=least) for name in ("height", "width")]
    image = torch.rand(2, passes.description.channels, height, width)
    dimensions = {INPUT: {0: Dim("batch", min=1), 2: sides[0], 3: sides[1]}}
    _drop_unused(passes, image)
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(passes, (image,), dynamic_shapes=dimensions, strict=False)
    except UserError:  # a network says itself why not
        raise
    except Exception as error:
        _refuse(passes.description.network, error)


def _drop_unused(passes: Passes, image: Tensor) -> None:
    """Take branches and blocks out that no pass calls: those that are chosen from a list or mapping."""
    called: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: called.add(module)) for module in passes.modules()]
    with torch.no_grad():
        passes(image)
    for hook in hooks:
        hook.remove()
    for module in list(passes.modules()):
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            for name, child in module.named_children():
                if called.isdisjoint(child.modules()):
                    module.add_module(name, nn.Identity())


def _refuse(network: str, error: Exception) -> NoReturn:
    """Name the operation that could not be traced: the last line of a network's own in the traceback."""
    inside = Path(torch.__file__).parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(inside) and frame.filename != __file__
    ]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}, `{frames[-1].line}`" if frames else ""
    what = shortened_text(" ".join(str(error).split()), 300)
    raise UserError(f"{network} cannot be exported{where}: {type(error).__name__}: {what}", exit_code=1) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's exporters log and print: packages that they could use, whole graphs where one fails."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
