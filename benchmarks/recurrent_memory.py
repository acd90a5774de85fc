"""Activation checkpointing of the recurrent passes: memory with and without, in one run.

    python benchmarks/recurrent_memory.py [--batch 4] [--size 256] [--width 32]

Progress on standard error, one JSON object on standard output. `saved_MiB` is the sum of the tensors that a forward
pass of the recurrent loss keeps for the backward pass, each storage once, weights left out: counted by saved-tensor
hooks on tensors without data, so that any size fits. `one_step_MiB` is the most that one step of a path keeps, which
is what recomputing adds. `ratio` is the plain sum over `saved_MiB` plus `one_step_MiB` with checkpointing.
`gradients` is the largest difference between the two ways' gradients, relative to the largest gradient, at the size
of `--check`. On a GPU a training step of either way is measured too: `peak_MiB` of the allocator, `seconds`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from restore_lightning.inference import PAPER_ORDER
from restore_lightning.networks import MBN
from restore_lightning.tasks import RecurrentTask


class Saved:
    """What autograd keeps within the block.

    Args:
        network: Its weights do not count.
    """

    def __init__(self, network: MBN) -> None:
        self.weights = {_storage(parameter) for parameter in network.parameters()}
        self.kept: dict[int, Tensor] = {}

    def __enter__(self) -> "Saved":
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        if _storage(tensor) not in self.weights:
            self.kept[_storage(tensor)] = tensor  # kept, so that no other storage takes its address
        return tensor

    @property
    def mebibytes(self) -> float:
        """Their sum, each storage once."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self.kept.values()) / 2**20


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def task_and_batch(device: str, width: int, batch: int, size: int) -> tuple[RecurrentTask, dict[str, Any]]:
    """A fine-tuning task and a minibatch in which every factor occurs."""
    torch.manual_seed(0)
    with torch.device(device):
        task = RecurrentTask(MBN(width=width, init="scaled"))
        images = torch.rand(2, batch, 3, size, size)
    factors = [(PAPER_ORDER[i % len(PAPER_ORDER)],) for i in range(batch)]
    return task, {"degraded": images[0], "clean": images[1], "factors": factors}


def saved_by(task: RecurrentTask, batch: dict[str, Any], checkpointing: bool) -> float:
    """MiB that all passes keep."""
    task.network.activation_checkpointing = checkpointing
    with Saved(task.network) as saved:
        task.loss(batch)
    return saved.mebibytes


def largest_step(task: RecurrentTask, batch: dict[str, Any]) -> float:
    """MiB, the most that one step of a path keeps."""
    most = 0.0

    def measured(step: Callable[..., Any], *inputs: Any) -> Any:
        nonlocal most
        with Saved(task.network) as saved:
            outputs = step(*inputs)
        most = max(most, saved.mebibytes)
        return outputs

    task.network._run = measured  # type: ignore[method-assign]
    task.loss(batch)
    del task.network._run
    return most


def training_step(
    task: RecurrentTask, batch: dict[str, Any], checkpointing: bool
) -> tuple[dict[str, float], list[Tensor]]:
    """Time, peak memory on a GPU, and gradients."""
    cuda = batch["clean"].is_cuda
    task.network.activation_checkpointing = checkpointing
    task.network.zero_grad()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    task.loss(batch).backward()
    figures = {}
    if cuda:
        torch.cuda.synchronize()
        figures["peak_MiB"] = torch.cuda.max_memory_allocated() / 2**20
    figures["seconds"] = time.perf_counter() - start
    return figures, [parameter.grad for parameter in task.network.parameters() if parameter.grad is not None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4, help="images (default 4)")
    parser.add_argument("--size", type=int, default=256, help="their side in pixels (default 256)")
    parser.add_argument("--width", type=int, default=32, help="of the network (default 32, the paper's)")
    parser.add_argument("--check", type=int, default=64, help="side of the images that gradients are compared on")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report: dict[str, Any] = {"device": device, **vars(options), "plain": {}, "recomputed": {}}
    ways = {"plain": False, "recomputed": True}

    print("saved tensors", file=sys.stderr, flush=True)
    with FakeTensorMode():
        task, batch = task_and_batch("cpu", options.width, options.batch, options.size)
        for way, checkpointing in ways.items():
            report[way]["saved_MiB"] = saved_by(task, batch, checkpointing)
        report["one_step_MiB"] = largest_step(task, batch)
    report["ratio"] = report["plain"]["saved_MiB"] / (report["recomputed"]["saved_MiB"] + report["one_step_MiB"])

    print("gradients", file=sys.stderr, flush=True)
    task, batch = task_and_batch(device, options.width, options.batch, options.check)
    plain, recomputed = (training_step(task, batch, checkpointing)[1] for checkpointing in ways.values())
    largest = max(float(gradient.abs().max()) for gradient in plain)
    differences = [float((one - other).abs().max()) for one, other in zip(plain, recomputed, strict=True)]
    report["gradients"] = max(differences) / largest

    if device == "cuda":
        task, batch = task_and_batch(device, options.width, options.batch, options.size)
        for way, checkpointing in ways.items():
            print(way, file=sys.stderr, flush=True)
            training_step(task, batch, checkpointing)  # the first one also chooses algorithms
            report[way] |= training_step(task, batch, checkpointing)[0]
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
