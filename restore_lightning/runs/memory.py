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
    size, crop = data.batch_sizes[factor], data.resolved[factor].crop_size
    return (
        f"not enough memory for a batch of {size} crops of {crop} pixels of factor {factor}: make"
        f" data.factors.{factor}.batch_size or crop_size smaller (data.batch_size, data.crop_size are all factors'),"
        " and give --trainer.accumulate_grad_batches to keep the samples of a step; validation images:"
        " data.val_crop_size"
    )
