import numpy as np
import pytest
import torch
from torch import nn

from restore_lightning.networks import NAFNet, parameters
from restore_lightning.networks.nafnet import LocalMean, NAFBlock
from restore_lightning.networks.statistics import local_statistics

SMALL = {"width": 8, "encoders": (1, 2), "middle": 1, "decoders": (1, 1)}
SIDD = {"encoders": (2, 2, 4, 8), "middle": 12, "decoders": (2, 2, 2, 2)}


def small(**changed):
    """A network whose blocks do something: fresh ones are the identity."""
    torch.manual_seed(0)
    network = NAFNet(**SMALL | changed)
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 17_111_907),
        ({"width": 64}, 67_888_835),
        (SIDD, 29_159_715),
        (SIDD | {"width": 64}, 115_982_915),
        ({"train_size": 256}, 17_111_907),
    ],
)
def test_parameters_are_the_released_ones(arguments, count):
    with torch.device("meta"):
        assert parameters(NAFNet(**arguments)) == count


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (13, 8), (16, 16), (17, 33)])
@pytest.mark.parametrize("train_size", [None, 8])
def test_any_size(size, train_size):
    network = small(train_size=train_size)
    image = torch.rand(2, 3, *size)
    assert network.info.sizes.padded(size[0]) == size[0]
    assert network(image).shape == image.shape
    assert small(image_channels=1, train_size=train_size)(image[:, :1]).shape == image[:, :1].shape


def test_padding_is_zeros_at_right_and_bottom():
    network = small()
    image = torch.rand(1, 3, 6, 7)
    padded = torch.zeros(1, 3, 8, 8)
    padded[..., :6, :7] = image
    torch.testing.assert_close(network(image), network(padded)[..., :6, :7])


def test_a_fresh_block_is_the_identity():
    x = torch.randn(2, 4, 5, 6)
    assert torch.equal(NAFBlock(4)(x), x)


def linear(layer, x):
    """A 1x1 convolution of (C, H, W) by NumPy."""
    return np.einsum("oc,chw->ohw", layer.weight.detach().numpy()[:, :, 0, 0], x) + bias_of(layer)


def bias_of(layer):
    return layer.bias.detach().numpy()[:, None, None]


def depthwise(layer, x):
    """A depth-wise 3x3 convolution padded by zeros."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
    return np.einsum("chwij,cij->chw", windows, layer.weight.detach().numpy()[:, 0]) + bias_of(layer)


def normed(layer, x):
    centred = x - x.mean(axis=0)
    weight = layer.weight.detach().numpy()[:, None, None]
    return centred / np.sqrt((centred**2).mean(axis=0) + 1e-6) * weight + bias_of(layer)


def gated(x):
    return x[: len(x) // 2] * x[len(x) // 2 :]


def box_means(x, side):
    """The mean over the nearest complete window of each position, windows cut out one by one."""
    result = np.empty_like(x)
    _, height, width = x.shape
    rows, columns = min(side, height), min(side, width)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (height - (height - rows + 1)) // 2, 0), height - rows)
            left = min(max(j - (width - (width - columns + 1)) // 2, 0), width - columns)
            result[:, i, j] = x[:, top : top + rows, left : left + columns].mean(axis=(1, 2))
    return result


@pytest.mark.parametrize("side", [None, 1, 3, 4, 7, 8, 9, 10])
def test_a_block_by_numpy(side):
    torch.manual_seed(0)
    block = NAFBlock(4, side).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    image = torch.randn(1, 4, 7, 9, dtype=torch.float64)
    x = image[0].numpy()
    g = gated(depthwise(block.conv2, linear(block.conv1, normed(block.norm1, x))))
    means = g.mean(axis=(1, 2), keepdims=True) if side is None else box_means(g, side)
    beta, gamma = (scale.detach().numpy()[0] for scale in (block.beta, block.gamma))
    y = x + beta * linear(block.conv3, g * linear(block.sca[1], means))
    expected = y + gamma * linear(block.conv5, gated(linear(block.conv4, normed(block.norm2, y))))
    with torch.no_grad():
        np.testing.assert_allclose(block(image)[0].numpy(), expected, rtol=1e-10, atol=1e-10)


def sides(network):
    stages = (*network.encoders, network.middle)
    return [stage[0].sca[0].side for stage in stages]


@pytest.mark.parametrize(
    ("levels", "train_size", "expected"),
    [
        (4, 256, [384, 192, 96, 48, 24]),
        (2, 32, [48, 24, 12]),
        (2, 31, [47, 23, 11]),  # padded to 32, times 46 / 31, rounded down
        (2, 45, [71, 35, 17]),
        (1, 3, [5, 2]),
    ],
)
def test_windows_of_the_training_size(levels, train_size, expected):
    """floor(side * int(1.5 T) / T) with the side of the map of a padded training crop."""
    network = NAFNet(4, (1,) * levels, 1, (1,) * levels, train_size=train_size)
    assert sides(network) == expected
    assert sides(NAFNet(**SMALL)) == [None] * 3
    # The sides of the maps, measured.
    measured = []
    for stage in (*network.encoders, network.middle):
        stage.register_forward_pre_hook(lambda stage, x: measured.append(x[0].shape[-1]))
    network(torch.rand(1, 3, 4, train_size))
    assert expected == [side * int(1.5 * train_size) // train_size for side in measured]


def test_local_means_differ_beyond_the_window_only():
    torch.manual_seed(0)
    local, whole = small(train_size=32).eval(), small().eval()
    local.load_state_dict(whole.state_dict())
    with torch.no_grad():
        for size in ((32, 32), (48, 48), (41, 30)):
            image = torch.rand(1, 3, *size)
            assert torch.equal(local(image), whole(image))
        image = torch.rand(1, 3, 30, 70)
        image[..., :30] *= 0.2
        assert (local(image) - whole(image)).abs().max() > 1e-3


def test_the_packages_local_statistics_are_the_authors_where_sizes_divide():
    local, whole = small(train_size=32).double().eval(), small().double().eval()
    image = torch.rand(1, 3, 64, 80, dtype=torch.float64)
    with torch.no_grad():
        with local_statistics(whole, 48, (64, 80)):
            torch.testing.assert_close(local(image), whole(image), rtol=0, atol=1e-12)
        with local_statistics(local, 16, (64, 80)):
            assert (local(image) - whole(image)).abs().max() > 1e-6  # the setting goes before train_size


@pytest.mark.parametrize("train_size", [None, 4])
def test_gradients_reach_every_parameter(train_size):
    network = small(train_size=train_size)
    network(torch.rand(1, 3, 12, 13)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("train_size", [None, 8])
def test_half_precision(dtype, train_size):
    network = small(train_size=train_size).eval()
    image = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        exact = network(image)
        half = network.to(dtype)(image.to(dtype))
        assert half.dtype == dtype
        assert half.isfinite().all()
        torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.1 * float(exact.abs().max()))


def test_local_mean_keeps_the_type():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.rand(1, 2, 6, 6).to(dtype)
        assert LocalMean(3)(x).dtype == LocalMean()(x).dtype == dtype
        assert LocalMean(3)(x).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width=0: a whole number, at least 1"),
        ({"width": None}, "width=None: a whole number"),
        ({"train_size": 0}, "train_size=0: a whole number, at least 1"),
        ({"train_size": 2.5}, "train_size=2.5: a whole number"),
        (
            {"encoders": (1, 1)},
            r"encoders=\[1, 1\], middle=1, decoders=\[1, 1, 1, 1\]: .* as many decoders as encoders",
        ),
        ({"encoders": (), "decoders": ()}, "at least one level"),
        ({"middle": -1}, "middle=-1"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        NAFNet(**arguments)
