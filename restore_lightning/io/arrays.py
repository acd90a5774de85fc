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


def as_float64(array: Array) -> Array:
    """In float64."""
    xp = namespace(array)
    return xp.asarray(array, dtype=xp.float64)
