"""The table at the start of a run: parameters per part (the layout of paper 2's table 8) and work per cycle."""

import copy
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from restore_lightning.networks import MBN, parameters
from restore_lightning.tasks import MultiBranchTask


def branch_table(network: MBN) -> str:
    """Parameters (millions) and memory in float32 (MB) of each part.

    An output branch is listed with the extra blocks before it, as in table 8.
    """
    rows = [("in-branch", f"I {name}", [branch]) for name, branch in network.inputs.items()]
    rows += [("stem", f"M{i}", [block]) for i, block in enumerate(network.stem, 1)]
    for factor in network.info.factors:
        level = network.levels[factor]
        extra = "".join(f"M{len(network.stem) + i + 1}+" for i in range(level))
        rows.append(("out-branch", f"{extra}g {factor}", [*network.extra[:level], network.outputs[factor]]))
    lines = [f"{'part':<12}{'':<22}{'parameters (M)':>22}{'memory (MB)':>13}"]
    part = ""
    for section, name, modules in rows:
        counts = [parameters(module) for module in modules]
        shown = " + ".join(f"{count / 1e6:.2f}" for count in counts)
        lines.append(f"{section if section != part else '':<12}{name:<22}{shown:>22}{sum(counts) * 4e-6:>13.2f}")
        part = section
    total = parameters(network)
    lines.append(f"{'all':<12}{f'{total:,} parameters':<22}{total / 1e6:>22.2f}{total * 4e-6:>13.2f}")
    return "\n".join(lines)


def flop_per_image(network: MBN, factor: str, size: int) -> int:
    """Floating-point operations of forward and backward pass for one crop, counted on tensors without data.

    Of convolutions and linear layers: as many again for the gradients of weights and of the input, where these are
    computed. torch's `FlopCounterMode` says the same, but for convolutions of groups, whose gradients of weights it
    counts as if there were none; it takes four times as long.
    """
    total = 0

    def count(layer: nn.Module, given: tuple[Tensor], result: Tensor) -> None:
        nonlocal total
        weight: Any = layer.weight
        gradients = given[0].requires_grad + weight.requires_grad
        total += 2 * (1 + gradients) * weight.numel() * (result.numel() // len(weight))

    twin = copy.deepcopy(network).to("meta", torch.float32)  # of whatever precision
    for layer in twin.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    twin(torch.empty(1, 3, size, size, device="meta"), factor)
    return total


class Work(NamedTuple):
    """What a cycle does with a factor's data.

    Args:
        minibatches: Per cycle.
        batch: Samples per minibatch.
        size: Side of the crops in pixels.
        passes: The branch pairs that they go through.
    """

    minibatches: int
    batch: int
    size: int
    passes: Sequence[str]


def cycle_table(network: MBN, cycle: Mapping[str, Work]) -> str:
    """Floating-point operations of a cycle, by factor."""
    lines, total = [], 0.0
    per_image = cache(partial(flop_per_image, network))  # recurrent passes are the same for all factors
    for factor, (minibatches, batch, size, passes) in cycle.items():
        work = minibatches * batch * sum(per_image(name, size) for name in passes)
        total += work
        lines.append(f"  {factor:<10}{minibatches} x {batch} x {size}x{size}{_flop(work):>20}")
    return "\n".join([f"work per cycle (forward and backward): {_flop(total)}", *lines])


def _flop(number: float) -> str:
    for unit in ("", "K", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {unit}FLOP"
        number /= 1000
    return f"{number:.4g} TFLOP"


class BranchTable(Callback):
    """Prints both tables when training starts; of a network without branches its number of parameters."""

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The network and the data are known by now."""
        if not isinstance(pl_module, MultiBranchTask):
            network: Any = pl_module.network
            print(f"{type(network).__name__}: {parameters(network):,} parameters", flush=True)
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        cycle = {
            factor: Work(
                data.schedule.counts[factor],
                data.samples_per_step[factor],
                resolved.crop_size,
                pl_module.passes(factor),
            )
            for factor, resolved in data.resolved.items()
        }
        print(branch_table(pl_module.network), cycle_table(pl_module.network, cycle), sep="\n\n", flush=True)
