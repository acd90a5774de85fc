"""Too little memory: how errors say so, and what the user is told."""

from inspect import signature
from typing import TYPE_CHECKING

import torch

from restore_lightning.metrics.functional import LARGEST_WINDOW

if TYPE_CHECKING:
    from restore_lightning.data.module import RestorationData
    from restore_lightning.tasks import RestorationTask

SIGNS = (
    "out of memory",  # CUDA, Apple's MPS, and what passes their errors on
    "can't allocate memory",  # torch's allocator of the CPU
    "cannot allocate memory",  # the system
    "not enough memory: you tried to allocate",  # torch's allocator on Windows
    "std::bad_alloc",  # C++
    "failed to allocate memory",  # onnxruntime
    "_alloc_failed",  # cuBLAS, cuDNN, cuSOLVER, cuFFT: their status
    "_allocation_failed",  # cuDNN 9
)
"""What errors of memory say, in small letters. cuDNN's NOT_SUPPORTED is none: it mostly has other reasons."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory; those of libraries are RuntimeErrors."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
    )


def too_little_memory(data: "RestorationData", task: "RestorationTask", stage: str | None) -> str:
    """What the user is told whose run takes more memory than there is: only what would change that.

    Args:
        data: Of the run.
        task: Of the run.
        stage: Lightning's word for what failed ("train", "validate", ...); None: nothing had begun.
    """
    if stage == "train" and task.last_factor is not None:
        return _of_phase(data, task) or _of_training(data, task, task.last_factor)
    if stage in (None, "train"):
        return "not enough memory, before the first batch: give a smaller network or a larger machine"
    return _of_scoring(data, task, stage in ("validate", "sanity_check"))


def _of_phase(data: "RestorationData", task: "RestorationTask") -> str | None:
    """Of training whose phases say what a step takes; None: they do not."""
    number = sum(each.start <= task.global_step for each in data.phase_batches) - 1
    ways = [
        f"make data.phases.{number}.{key} smaller"
        for key in ("samples_per_step", "crop_size")
        if data.phases and getattr(data.phases[number], key) is not None
    ]
    told = f"not enough memory for a batch of phase {number}: {', or '.join(ways)}"
    return f"{told}, or give more --trainer.accumulate_grad_batches" if ways else None


def _of_training(data: "RestorationData", task: "RestorationTask", factor: str) -> str:
    size, crop = data.batch_sizes[factor], data.resolved[factor].crop_size
    ways = []

    def keys(name: str) -> str:
        """What says so much of a step."""
        return f"data.{name}" if data.batches == "mixed" else f"data.factors.{factor}.{name} (or data.{name})"

    if size > 1 and not data.states_samples_per_step(factor):
        ways.append(
            f"make {keys('batch_size')} smaller, and give --trainer.accumulate_grad_batches as many"
            " times more, which keeps the samples of a step"
        )
    elif size > 1:
        finer = data.finer_division()
        ways.append(
            f"make {keys('samples_per_step')} smaller"
            if finer is None
            else f"give --trainer.accumulate_grad_batches {finer} or more, which keeps the samples of a step"
        )
    ways.append(f"make {keys('crop_size')} smaller")
    if getattr(task.network, "activation_checkpointing", None) is False:
        ways.append("give --model.activation_checkpointing true, which takes a third more time")
    of = "" if data.batches == "mixed" else f" of factor {factor}"
    return f"not enough memory for a batch of {size} crops of {crop} pixels{of}: {', or '.join(ways)}"


def _of_scoring(data: "RestorationData", task: "RestorationTask", validation: bool) -> str:
    ways, crop = [], data.val_crop_size
    if validation and (crop is None or crop > LARGEST_WINDOW):
        now = ", they are whole now" if crop is None else f" than {crop}"
        ways.append(f"cut the images smaller by --data.val_crop_size{now}")
    if "inference" in signature(type(task)).parameters:
        tile = task.inference.tile
        now = ", smaller than the images" if tile is None else f", smaller than {tile}"
        ways.append(f"restore them in tiles by --model.inference.tile{now}")
    kind = "validation" if validation else "test"
    return f"not enough memory to restore {kind} images: {', or '.join(ways) or 'give smaller ones'}"
