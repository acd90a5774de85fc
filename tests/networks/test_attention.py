import numpy as np
import pytest
import torch

from restore_lightning.networks.attention import ChannelAttention, total_variation


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


@pytest.mark.parametrize("statistics", [("mean",), ("tv",), ("mean", "tv")])
def test_attention_scales_channels_by_a_number_in_0_1(statistics):
    x = torch.rand(2, 6, 8, 8) + 0.1
    scale = ChannelAttention(6, 4, statistics)(x) / x
    torch.testing.assert_close(scale, scale[:, :, :1, :1].expand_as(scale))
    assert bool(((scale > 0) & (scale < 1)).all())
