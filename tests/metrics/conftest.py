"""Fixtures of the metrics."""

import pytest
import torch


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
)
def device(request) -> str:
    """Each kind of device that this machine has."""
    return request.param
