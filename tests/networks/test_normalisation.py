import numpy as np
import pytest
import torch

from restore_lightning.networks.normalisation import ChannelNorm


def expected(x, norm, eps):
    """By NumPy in float64, pixel by pixel."""
    x = x.double().numpy()
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
    weight = norm.weight.detach().double().numpy()[:, None, None]
    if norm.bias is None:
        return x / deviation * weight
    return centred / deviation * weight + norm.bias.detach().double().numpy()[:, None, None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 1e-2])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-13), (torch.float32, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 6e-2)],
)
def test_channel_norm(bias, eps, dtype, tolerance):
    torch.manual_seed(0)
    norm = ChannelNorm(6, eps, bias)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    norm = norm.to(dtype)
    x = (torch.randn(2, 6, 5, 4, dtype=torch.float64) + 3 * torch.rand(2, 1, 5, 4)).to(dtype)
    found = norm(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found.detach().double().numpy(), expected(x, norm, eps), rtol=tolerance, atol=2 * tolerance
    )


@pytest.mark.parametrize("bias", [True, False])
def test_numbers_whose_squares_leave_half_precision(bias):
    x = 3e4 * torch.randn(1, 8, 3, 3).clamp(-2, 2)
    half = ChannelNorm(8, 1e-6, bias).half()(x.half())
    assert half.isfinite().all()
    torch.testing.assert_close(half.float(), ChannelNorm(8, 1e-6, bias)(x), rtol=2e-3, atol=2e-3)


def test_constant_pixels_have_finite_gradients():
    for bias in (True, False):
        x = torch.ones(1, 4, 2, 2, requires_grad=True)
        ChannelNorm(4, 1e-6, bias)(x).sum().backward()
        assert x.grad.isfinite().all()
