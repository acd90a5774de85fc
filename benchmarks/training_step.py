"""A training step: plain eager float32 against the product's defaults, alternating in one run.

    python benchmarks/training_step.py [--cases "MBN" "DRN"] [--rounds 3] [--profile]

`plain` is how one would write it: float32, channels first, Adam as torch makes it. `product` is what `restore fit` does
without being told: the precision that the hardware computes, channels last, fused Adam. Both have the same network,
loss, batch and optimiser steps, here without data and logging. A cycle is the schedule's: as many minibatches of each
factor as the config says.

Progress on standard error, one JSON object on standard output. For each case, way and factor, and for the cycle:
`seconds` (the median over rounds), `images_per_s`, `tflop_per_s` (counted operations of convolutions and matrix
products, forward and backward), `share_of_peak` (of the best rate of a large matrix product in the way's precision,
measured in the same run), `peak_MiB` (memory above what was in use before: of the allocator on a GPU; of the process on
Linux). `ratio` is plain over product seconds: of each cycle, at the top level of the full MBN's. With `--profile` also
`profile`: the share that each kind of operation has of a cycle of the product's.
"""

import argparse
import contextlib
import ctypes
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from restore_lightning.losses import SSIML1
from restore_lightning.networks import DIN, DRN, MBN, DuRN
from restore_lightning.runs.precision import chosen_precision
from restore_lightning.tasks import ImageToImageTask, MultiBranchTask, RecurrentTask, RestorationTask
from restore_lightning.tasks.base import adam
from restore_lightning.tasks.kernels import fuse_step


@dataclass(frozen=True)
class Case:
    """A network and its batches.

    Args:
        task: Makes it.
        minibatches: Factor -> minibatches of a cycle.
        batch: Images of a minibatch on a CPU.
        gpu_batch: On a GPU, where crops are `gpu_size` large.
        gpu_size: Side of the crops there (pixels); 64 on a CPU.
    """

    task: Callable[[], RestorationTask]
    minibatches: Mapping[str, int]
    batch: int = 2
    gpu_batch: int = 8
    gpu_size: int = 256


PAPER_CYCLE = {"rain": 1, "haze": 1, "jpeg": 1, "blur": 3}
CASES = {
    "MBN": Case(lambda: MultiBranchTask(MBN(init="scaled")), PAPER_CYCLE),
    "MBN, quickstart": Case(
        lambda: MultiBranchTask(MBN(width=8, init="scaled")), {"rain": 1, "blur": 1, "jpeg": 2, "haze": 2}, batch=4
    ),
    "MBN, NAFNet stem": Case(lambda: MultiBranchTask(MBN(stem="nafnet", init="scaled")), PAPER_CYCLE),
    # Every image passes all branch pairs, whatever its factor: one minibatch is like another.
    "R-MBN": Case(lambda: RecurrentTask(MBN(init="scaled")), {"jpeg": 1}, batch=1, gpu_batch=4),
    "DuRN-US": Case(lambda: ImageToImageTask(DuRN("US")), {"haze": 1}),
    "DRN": Case(lambda: ImageToImageTask(DRN(T=7, R=7, resblocks=2), SSIML1(1.0, 0.0)), {"rain": 1}, gpu_size=128),
    "DIN": Case(
        lambda: ImageToImageTask(DIN(stride=4, D=5, B=3, M=4, growth=32, fusion="asyca"), nn.L1Loss()), {"blur": 1}
    ),
}


class Way:
    """A task as it is trained one way."""

    def __init__(self, task: RestorationTask, device: torch.device, product: bool) -> None:
        self.task, self.device = task.to(device), device
        self.layout = torch.channels_last if product else torch.contiguous_format
        task.network.to(memory_format=self.layout)
        parameters = [parameter for parameter in task.network.parameters() if parameter.requires_grad]
        self.optimizer = adam(parameters)
        self.precision = torch.float32
        if product:
            fuse_step(self.optimizer)
            trainer = {"precision": None, "plugins": None, "accelerator": device.type}
            mixed = chosen_precision(trainer, task.network) == "bf16-mixed"
            self.precision = torch.bfloat16 if mixed else torch.float32

    def batch(self, factor: str, count: int, size: int) -> dict[str, Any]:
        """Images as the data module gives them."""
        images = torch.rand(2, count, 3, size, size, generator=torch.Generator().manual_seed(0)).to(self.device)
        degraded, clean = (image.contiguous(memory_format=self.layout) for image in images)
        return {"factor": factor, "factors": [(factor,)] * count, "degraded": degraded, "clean": clean}

    def step(self, batch: dict[str, Any]) -> Tensor:
        """Loss, gradients, optimiser."""
        mixed = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=mixed):
            loss = self.task.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def peak_flops(device: torch.device, precision: torch.dtype, side: int) -> float:
    """The best rate of a square matrix product (operations per second)."""
    a, b = torch.rand(2, side, side, device=device).to(precision)
    return 2 * side**3 / min(seconds(lambda: a @ b, device) for _ in range(8))


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Of the clock, until the device is done."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(call: Callable[[], Any], device: torch.device) -> float | None:
    """MiB above what is in use before; None: the system cannot say."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists() or not os.access(reset, os.W_OK):
        return None
    with contextlib.suppress(OSError, AttributeError):  # glibc: what earlier steps have freed is no longer in use
        ctypes.CDLL(None).malloc_trim(0)
    reset.write_text("5")  # the peak begins anew
    before = _kibibytes(status.read_text(), "VmRSS")
    call()
    return (_kibibytes(status.read_text(), "VmHWM") - before) / 2**10


def _kibibytes(status: str, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


KINDS = {
    "convolutions": ("conv",),
    "padding": ("pad",),
    "optimiser": ("adam",),
    "types, layouts, copies": ("copy", "contiguous", "clone", "cat", "fill", "zero"),
}
"""Kind -> what the names of its operations hold; the first kind that fits counts."""


def profiled(case: Case, device: torch.device) -> dict[str, float]:
    """The share of each kind of operation in a cycle of the product's, the largest first."""
    torch.manual_seed(0)
    way = Way(case.task(), device, product=True)
    count, size = (case.gpu_batch, case.gpu_size) if device.type == "cuda" else (case.batch, 64)
    batches = [way.batch(factor, count, size) for factor, number in case.minibatches.items() for _ in range(number)]
    for batch in batches:
        way.step(batch)
    with torch.profiler.profile() as profile:
        for batch in batches:
            way.step(batch)
        synchronise(device)
    took = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    times: dict[str, float] = {}
    for event in profile.key_averages():
        kind = next((kind for kind, names in KINDS.items() if any(n in event.key.lower() for n in names)), "others")
        times[kind] = times.get(kind, 0.0) + getattr(event, took)
    total = sum(times.values())
    return {kind: times[kind] / total for kind in sorted(times, key=times.__getitem__, reverse=True)}


def measured(case: Case, device: torch.device, rounds: int, peaks: Mapping[torch.dtype, float]) -> dict[str, Any]:
    """One case's figures."""
    torch.manual_seed(0)
    task = case.task()
    ways = {"plain": Way(deepcopy(task), device, product=False), "product": Way(task, device, product=True)}
    count, size = (case.gpu_batch, case.gpu_size) if device.type == "cuda" else (case.batch, 64)
    times: dict[tuple[str, str], list[float]] = {(way, factor): [] for way in ways for factor in case.minibatches}
    operations: dict[str, int] = {}
    memory: dict[tuple[str, str], float | None] = {}
    for factor in case.minibatches:
        batches = {name: way.batch(factor, count, size) for name, way in ways.items()}
        for name, way in ways.items():  # the first one also chooses algorithms
            way.step(batches[name])
            memory[name, factor] = peak_memory(partial(way.step, batches[name]), device)
        with FlopCounterMode(display=False) as counter:
            ways["plain"].step(batches["plain"])
        operations[factor] = counter.get_total_flops()
        for _ in range(rounds):
            for name, way in ways.items():
                times[name, factor].append(seconds(partial(way.step, batches[name]), device))

    report: dict[str, Any] = {"batch": count, "size": size, "minibatches": dict(case.minibatches)}
    for name, way in ways.items():
        peak = peaks[way.precision]
        medians = {factor: statistics.median(times[name, factor]) for factor in case.minibatches}
        factors = {
            factor: _figures(medians[factor], count, operations[factor], peak) | {"peak_MiB": memory[name, factor]}
            for factor in case.minibatches
        }
        cycle = _figures(
            sum(number * medians[factor] for factor, number in case.minibatches.items()),
            count * sum(case.minibatches.values()),
            sum(number * operations[factor] for factor, number in case.minibatches.items()),
            peak,
        )
        report[name] = {"precision": str(way.precision).removeprefix("torch."), "factors": factors, "cycle": cycle}
    report["ratio"] = report["plain"]["cycle"]["seconds"] / report["product"]["cycle"]["seconds"]
    return report


def _figures(duration: float, images: int, operations: int, peak: float) -> dict[str, Any]:
    rate = operations / duration
    return {
        "seconds": duration,
        "images_per_s": images / duration,
        "tflop_per_s": rate / 1e12,
        "share_of_peak": rate / peak,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default 3)")
    parser.add_argument("--profile", action="store_true", help="also what part of a cycle each kind of operation takes")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side = 8192 if device.type == "cuda" else 2048
    peaks = {precision: peak_flops(device, precision, side) for precision in (torch.float32, torch.bfloat16)}
    cases = {}
    for name in options.cases:
        cases[name] = measured(CASES[name], device, options.rounds, peaks)
        if options.profile:
            cases[name]["profile"] = profiled(CASES[name], device)
        print(f"{name}: plain over product {cases[name]['ratio']:.2f}", file=sys.stderr, flush=True)
    report = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "peak_tflop_per_s": {str(kind).removeprefix("torch."): rate / 1e12 for kind, rate in peaks.items()},
        "cases": cases,
        "ratio": cases.get("MBN", cases[options.cases[0]])["ratio"],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
