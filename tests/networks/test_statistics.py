"""Statistics over windows, against windows that are cut out one by one."""

import numpy as np
import pytest
import torch
from torch import nn

from restore_lightning.networks import DIN, DRN, MBN, DuRN
from restore_lightning.networks.attention import AsymmetricCoAttention, ChannelAttention, total_variation
from restore_lightning.networks.statistics import (
    GlobalStatistics,
    InstanceNorm,
    at_each_position,
    local_statistics,
    mean_around,
    mean_over,
)

WINDOWS = [(1, 1), (2, 3), (5, 4), (9, 12), (9, 5)]


def cut(x, window):
    """(B, C, H, W) -> each complete window: (B, C, H', W', height, width), by NumPy in float64."""
    return np.lib.stride_tricks.sliding_window_view(x.double().numpy(), window, axis=(2, 3))


def around(x, window):
    """The nearest complete window of each position: (B, C, H, W, height, width)."""
    windows = cut(x, window)
    rows, columns = (
        np.clip(np.arange(size) - (side - 1) // 2, 0, size - side)
        for size, side in zip(x.shape[2:], window, strict=True)
    )
    return windows[:, :, rows][:, :, :, columns]


def variation(windows):
    """Equation 1 of paper 2."""
    down, across = (np.abs(np.diff(windows, axis=axis)) ** 3 for axis in (-2, -1))
    return down.mean(axis=(-2, -1)) + across.mean(axis=(-2, -1))


@pytest.mark.parametrize("window", WINDOWS)
def test_means_of_windows(window):
    x = torch.randn(2, 3, 9, 12, dtype=torch.float64)
    np.testing.assert_allclose(mean_over(x, window).numpy(), cut(x, window).mean(axis=(-2, -1)), atol=1e-14)


@pytest.mark.parametrize("window", WINDOWS[1:])
def test_total_variations_of_windows(window):
    x = torch.randn(2, 3, 9, 12, dtype=torch.float64)
    np.testing.assert_allclose(total_variation(x, window).numpy(), variation(cut(x, window)), rtol=1e-12)


@pytest.mark.parametrize("size", [64, 5])
def test_the_error_of_running_sums_over_a_wide_map(size):
    """In float32 it is that of rounding the means, though the sums are 4096 pixels long and one half is dark."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 80, 4096, generator=generator)
    x[..., :2000] += 1000
    expected = cut(x, (size, size)).mean(axis=(-2, -1))
    found = mean_over(x, (size, size)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., :1900], expected[..., :1900], rtol=1.2e-7)
    np.testing.assert_allclose(found[..., 2000:], expected[..., 2000:], rtol=0, atol=3e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_exactly(dtype):
    x = (200 * torch.rand(1, 2, 40, 40)).to(dtype)
    np.testing.assert_allclose(mean_over(x, (16, 16)).numpy(), cut(x, (16, 16)).mean(axis=(-2, -1)), rtol=2e-7)


@pytest.mark.parametrize("window", WINDOWS)
def test_at_the_borders_the_nearest_complete_window_counts(window):
    x = torch.randn(1, 2, 9, 12, dtype=torch.float64)
    found = at_each_position(mean_over(x, window), x.shape[2:])
    np.testing.assert_allclose(found.numpy(), around(x, window).mean(axis=(-2, -1)), atol=1e-14)


def linear(layer, y):
    """A linear layer or a 1x1 convolution of (B, C, H, W)."""
    weight = layer.weight.detach().numpy().reshape(layer.weight.shape[:2])
    return np.einsum("oc,bchw->bohw", weight, y) + layer.bias.detach().numpy()[:, None, None]


def excited(module, described):
    return linear(module.excite, np.maximum(linear(module.squeeze, described), 0))


@pytest.mark.parametrize(("crop", "window"), [(6, (6, 6)), (8, (8, 8)), (5, (5, 5))])
def test_channel_attention_of_each_position(crop, window):
    module = ChannelAttention(3, 4, ("mean", "tv")).double()
    x = torch.randn(2, 3, 9, 12, dtype=torch.float64)
    windows = around(x, window)
    scale = 1 / (
        1 + np.exp(-excited(module, np.concatenate([windows.mean(axis=(-2, -1)), variation(windows)], axis=1)))
    )
    with torch.no_grad(), local_statistics(module, crop, (9, 12)):
        found = module(x)
    np.testing.assert_allclose(found.numpy(), x.numpy() * scale, rtol=1e-10, atol=1e-12)


def test_asymmetric_co_attention_of_each_position():
    module = AsymmetricCoAttention(4, reduction=2).double()
    first, second = torch.randn(2, 2, 4, 9, 12, dtype=torch.float64)
    both = linear(module.integrate, torch.cat([first, second], dim=1).numpy())
    scores = excited(module, around(torch.from_numpy(both), (5, 5)).mean(axis=(-2, -1)))
    one, other = np.exp(scores[:, :4]), np.exp(scores[:, 4:])
    with torch.no_grad(), local_statistics(module, 10, (18, 24)):
        found = module(first, second)
    expected = (one * first.numpy() + other * second.numpy()) / (one + other)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_instance_norm_of_each_position(dtype, tolerance):
    module = InstanceNorm(3, affine=True).to(dtype)
    nn.init.normal_(module.weight)
    nn.init.normal_(module.bias)
    x = torch.randn(2, 3, 9, 12, dtype=dtype) + 10
    windows = around(x, (5, 5))
    expected = (x.double().numpy() - windows.mean(axis=(-2, -1))) / np.sqrt(windows.var(axis=(-2, -1)) + 1e-5)
    weight, bias = (y.detach().double().numpy()[:, None, None] for y in (module.weight, module.bias))
    with torch.no_grad(), local_statistics(module, 5, (9, 12)):
        found = module(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), expected * weight + bias, atol=tolerance)


def mbn():
    return MBN(width=4, stem=[(3, 3, 1)], extra=[(3, 3, 1)] * 3, iterations=2).eval()


def din(fusion):
    return DIN(D=2, B=1, M=2, growth=4, width=16, fusion=fusion).eval()


NETWORKS = {
    **{f"MBN {factor}": (mbn, factor) for factor in ("rain", "blur", "jpeg", "haze")},
    "DIN": (lambda: din("asyca"),),
    "DIN se": (lambda: din("se"),),
    "DuRN-U": (lambda: DuRN("U", width=4).eval(),),
    "DuRN-US": (lambda: DuRN("US", width=4).eval(),),
    "DuRN-S": (lambda: DuRN("S", width=4).eval(),),
    "DuRN-S-P": (lambda: DuRN("S-P", width=16).eval(),),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    """A window as large as the image is the whole image; a smaller one is not; afterwards all is as before."""
    make, *factor = NETWORKS[name]
    network = make().double()
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):  # fresh ones shrink what they get to nothing
            nn.init.kaiming_normal_(module.weight)
    image = torch.rand(1, 3, 96, 128, dtype=torch.float64)
    image[..., :64] *= 0.2

    def result():
        outputs = network(image, *factor)
        return outputs[-1] if factor else outputs

    state = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        whole = result()
        with local_statistics(network, 128, image.shape[2:]):
            torch.testing.assert_close(result(), whole, rtol=0, atol=1e-10)
        with local_statistics(network, 32, image.shape[2:]):
            assert (result() - whole).abs().max() > 1e-7
        assert torch.equal(result(), whole)
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_windows_follow_the_resolution():
    """Shared blocks see three scales in one call: everywhere the window covers the same part of the map."""
    network = mbn()
    seen = set()
    for module in network.modules():
        if isinstance(module, GlobalStatistics):
            module.register_forward_pre_hook(lambda module, x: seen.add((*x[0].shape[2:], *module.window_on(x[0]))))
    with torch.no_grad(), local_statistics(network, 64, (128, 256)):
        network(torch.rand(1, 3, 128, 256), "blur")
    # x at 1/4, r at 1/2 of each of the scales 1/4, 1/2 and 1.
    assert seen == {(128 // k, 256 // k, 64 // k, 64 // k) for k in (2, 4, 8, 16)}


def test_far_away_pixels_do_not_matter():
    module = ChannelAttention(2, 4, ("mean", "tv"))
    x = torch.rand(1, 2, 64, 64)
    changed = x.clone()
    changed[..., 40:] = 5 * torch.rand(1, 2, 64, 24)
    with torch.no_grad():
        assert not torch.equal(module(x)[..., :30], module(changed)[..., :30])
        with local_statistics(module, 16, (64, 64)):
            torch.testing.assert_close(module(x)[..., :30], module(changed)[..., :30], rtol=1e-6, atol=1e-7)


def test_nothing_leaks():
    """The context may be left by an error, and be within another one."""
    module = ChannelAttention(2, 4)

    def failing():
        with local_statistics(module, 4, (8, 8)):
            raise RuntimeError("in the network")

    with local_statistics(module, 2, (8, 8)):
        with pytest.raises(RuntimeError, match="in the network"):
            failing()
        assert module.window.crop == 2
    assert module.window is None


def test_a_network_without_such_statistics_is_used_as_it_is():
    network, image = DRN(T=2, R=1), torch.rand(1, 3, 16, 16)
    expected = network(image)
    with local_statistics(network, 8, (16, 16)):
        assert torch.equal(network(image), expected)


@pytest.mark.parametrize(("height", "width", "side"), [(9, 14, 5), (4, 9, 6), (3, 3, 8), (7, 7, 1), (6, 6, 6)])
def test_the_mean_around_each_position_is_the_same_for_exported_graphs(height, width, side):
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    window = (min(side, height), min(side, width))
    assert torch.equal(mean_around(x, side), at_each_position(mean_over(x, window), x.shape[2:]))
