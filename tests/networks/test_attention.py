from functools import partial

import numpy as np
import pytest
import torch

from restore_lightning.networks.attention import ChannelAttention, total_variation
from restore_lightning.networks.statistics import mean_over


def test_total_variation_is_equation_1():
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    expected = np.zeros((2, 3, 1, 1))
    for b in range(2):
        for c in range(3):
            y = x[b, c].numpy()
            down = [abs(y[i + 1, j] - y[i, j]) ** 3 for i in range(4) for j in range(7)]
            across = [abs(y[i, j + 1] - y[i, j]) ** 3 for i in range(5) for j in range(6)]
            expected[b, c, 0, 0] = np.mean(down) + np.mean(across)
    np.testing.assert_allclose(total_variation(x).numpy(), expected, rtol=1e-12)


def test_total_variation_keeps_range_in_half_precision():
    x = torch.tensor([0.0, 100.0]).repeat(4, 2)[None, None].half()  # 100^3 is out of float16's range
    assert total_variation(x).item() == pytest.approx(1e6)


@pytest.mark.parametrize("statistic", [total_variation, partial(mean_over, window=None)])
@pytest.mark.parametrize("size", [(4, 5), (2, 2)])
def test_gradients_of_statistics(statistic, size):
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(statistic, x)


@pytest.mark.parametrize("statistic", [total_variation, partial(mean_over, window=None)])
def test_gradients_of_statistics_in_half_precision(statistic):
    """Rounded once: computed in float32."""
    x = torch.randn(2, 3, 6, 5).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    exact = x.detach().float().requires_grad_()
    weights = torch.randn(2, 3, 1, 1)
    for one in (x, exact):
        result = statistic(one)
        assert result.dtype == torch.float32
        result.backward(weights)
    assert torch.equal(x.grad, exact.grad.bfloat16())


@pytest.mark.parametrize("contrast", [1e-3, 1e3])
def test_attention_under_autocast_has_the_statistics_of_float32(contrast):
    """Total variations of 1e-9 and 1e9, of which float16 leaves 0 and infinity."""
    torch.manual_seed(0)
    attention = ChannelAttention(4, 4, ("tv",))
    x = contrast * torch.rand(2, 4, 16, 16)
    with torch.no_grad():
        attention.squeeze.weight.uniform_(0, 1 / contrast**3)
        attention.excite.weight.uniform_(0.2, 1)
        attention.squeeze.bias.zero_()
        attention.excite.bias.zero_()
        expected = attention(x)
        with torch.autocast("cpu", torch.float16):
            found = attention(x.half())
    scale = (expected / x).mean(dim=(2, 3))
    assert scale.min() > 0.55  # far from what no variation at all gives
    assert scale.max() < 0.999
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=2e-3 * contrast)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_attention_of_converted_networks(dtype):
    x = torch.rand(2, 4, 8, 8).to(dtype)
    assert ChannelAttention(4, 4, ("mean", "tv")).to(dtype)(x).dtype == dtype


@pytest.mark.parametrize("statistics", [("mean",), ("tv",), ("mean", "tv")])
def test_attention_scales_channels_by_a_number_in_0_1(statistics):
    x = torch.rand(2, 6, 8, 8) + 0.1
    scale = ChannelAttention(6, 4, statistics)(x) / x
    torch.testing.assert_close(scale, scale[:, :, :1, :1].expand_as(scale))
    assert bool(((scale > 0) & (scale < 1)).all())
