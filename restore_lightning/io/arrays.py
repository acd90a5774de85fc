"""One code for NumPy arrays and PyTorch tensors, without importing PyTorch for the former."""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


def namespace(array: "np.ndarray | Tensor") -> Any:
    """The module whose functions take this array: numpy or torch."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def where_float64_is(array: Array) -> Array:
    """The array on its device, or on the CPU where that has no float64: Apple's GPUs wait for this copy."""
    if isinstance(array, np.ndarray):
        return array
    from restore_lightning.hardware import has_float64

    return array if has_float64(array.device) else array.cpu()


def square_blocks(array: Array, size: int, step: int) -> Array:
    """(..., H, W) -> (..., R, C, size, size): a view of the squares that begin every `step` pixels."""
    if isinstance(array, np.ndarray):
        windows = np.lib.stride_tricks.sliding_window_view(array, (size, size), axis=(-2, -1))
        return windows[..., ::step, ::step, :, :]
    return array.unfold(-2, size, step).unfold(-2, size, step)


def with_edges(array: Array, border: int) -> Array:
    """(..., H, W) -> (..., H + 2 border, W + 2 border): the pixels at the edges are repeated."""
    join = namespace(array).concatenate
    high: Array = join([*[array[..., :1, :]] * border, array, *[array[..., -1:, :]] * border], axis=-2)
    wide: Array = join([*[high[..., :1]] * border, high, *[high[..., -1:]] * border], axis=-1)
    return wide


def as_float64(array: Array) -> Array:
    """In float64, without a gradient."""
    return array.astype(np.float64, copy=False) if isinstance(array, np.ndarray) else array.detach().double()
