"""Activation checkpointing of the recurrent walk: memory with and without, in one run.

    python benchmarks/recurrent_memory.py [--batch 4] [--size 256] [--width 32]

Progress on standard error, one JSON object on standard output. `saved` is the sum of the tensors that one forward
pass of the recurrent loss keeps for the backward pass (saved-tensor hooks, each storage once, weights left out);
`one_step` is the most that a step of a walk keeps, which is what recomputing adds; `ratio` is the plain sum over
`saved + one_step` with checkpointing. On a GPU `peak` is the allocator's. `gradients` is the largest difference
between the two ways' gradients, relative to the largest gradient.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from restore_lightning.inference import ORDER
from restore_lightning.networks import MBN
from restore_lightning.tasks import RecurrentTask


class Saved:
    """Bytes that autograd keeps within the block."""

    def __init__(self, network: MBN) -> None:
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
        self.kept: dict[int, Tensor] = {}

    def __enter__(self) -> "Saved":
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in self.weights:
            self.kept[pointer] = tensor  # kept alive, so that no other tensor takes its place
        return tensor

    @property
    def bytes(self) -> int:
        """Their sum, each storage once."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self.kept.values())


def largest_step(task: RecurrentTask, batch: dict[str, Any]) -> int:
    """The most that one step of a walk keeps: what recomputing it holds in memory."""
    network, most = task.network, 0

    def measured(step: Callable[..., Any], *inputs: Any) -> Any:
        nonlocal most
        with Saved(network) as saved:
            outputs = step(*inputs)
        most = max(most, saved.bytes)
        single = isinstance(outputs, Tensor)
        detached = [output.detach() for output in ([outputs] if single else outputs)]
        return detached[0] if single else detached

    network._run = measured  # type: ignore[method-assign]
    task.loss(batch)
    del network._run
    return most


def measure(task: RecurrentTask, batch: dict[str, Any], recompute: bool) -> tuple[dict[str, float], list[Tensor]]:
    """One training step's memory, time and gradients."""
    network, device = task.network, batch["clean"].device
    network.recompute = recompute
    network.zero_grad()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    with Saved(network) as saved:
        loss = task.loss(batch)
    figures: dict[str, float] = {"saved_MiB": saved.bytes / 2**20}
    saved.kept.clear()
    loss.backward()
    if device.type == "cuda":
        figures["peak_MiB"] = torch.cuda.max_memory_allocated() / 2**20
    figures["seconds"] = time.perf_counter() - start
    return figures, [p.grad.clone() for p in network.parameters() if p.grad is not None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=32)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    task = RecurrentTask(MBN(width=options.width, init="scaled").to(device))
    images = torch.rand(2, options.batch, 3, options.size, options.size, device=device)
    batch = {"degraded": images[0], "clean": images[1], "factors": [(ORDER[i % 4],) for i in range(options.batch)]}

    report: dict[str, Any] = {"device": device, **vars(options)}
    gradients = {}
    for name, recompute in (("plain", False), ("recomputed", True)):
        print(name, file=sys.stderr, flush=True)
        report[name], gradients[name] = measure(task, batch, recompute)
    print("one step", file=sys.stderr, flush=True)
    report["one_step_MiB"] = largest_step(task, batch) / 2**20
    report["recomputed"]["saved_and_one_step_MiB"] = report["recomputed"]["saved_MiB"] + report["one_step_MiB"]
    report["ratio"] = report["plain"]["saved_MiB"] / report["recomputed"]["saved_and_one_step_MiB"]
    pairs = list(zip(gradients["plain"], gradients["recomputed"], strict=True))
    largest = max(float(one.abs().max()) for one, _ in pairs)
    report["gradients"] = max(float((one - other).abs().max()) for one, other in pairs) / largest
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
