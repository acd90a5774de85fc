"""Too little memory: how errors say so, and what the user is told."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restore_lightning.data.module import RestorationData

SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory")
"""What errors of memory say, on GPUs and in torch's allocator of the CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory; that of CUDA is a RuntimeError."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
    )


def make_batches_smaller(data: "RestorationData", factor: str | None) -> str:
    """What the user is told whose training takes more memory than there is.

    Args:
        data: Of the run.
        factor: Of the batch; None: there was none yet.
    """
    if factor is None:
        return "not enough memory, before the first batch: give a smaller network or a larger machine"
    smaller = "give --trainer.accumulate_grad_batches 2 or more, which keeps the samples of a step"
    if not data.states_samples_per_step(factor):
        smaller = f"make data.factors.{factor}.batch_size (or data.batch_size) smaller, and " + smaller
    size, crop = data.batch_sizes[factor], data.resolved[factor].crop_size
    return (
        f"not enough memory for a batch of {size} crops of {crop} pixels of factor {factor}: {smaller};"
        f" data.factors.{factor}.crop_size (or data.crop_size) is another way, data.val_crop_size that for validation"
        " images"
    )
