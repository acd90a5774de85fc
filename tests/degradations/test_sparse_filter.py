"""Filters of few taps against SciPy's."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate as scipy_correlate

from restore_lightning.degradations import motion_kernel
from restore_lightning.degradations.rain import _line
from restore_lightning.degradations.sparse_filter import correlate

KERNELS = {
    "motion blur": motion_kernel(15, 12, -40),
    "taps that vanish": motion_kernel(10, 1.5, 20),
    "streaks": _line(35, 70.0),
    "no line": torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5))),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("kind", "accuracy"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_it_is_scipys_correlation(name, kind, accuracy):
    image, kernel = torch.from_numpy(np.random.default_rng(1).random((3, 90, 120))), KERNELS[name].double()
    expected = np.stack([scipy_correlate(channel, kernel.numpy(), "valid", "direct") for channel in image.numpy()])
    result = correlate(image.to(kind), kernel)
    assert result.dtype == kind
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=accuracy * float(kernel.abs().sum()))
