import math

import numpy as np
import pytest
import torch
from torch import nn

from restore_lightning.networks import Restormer, parameters
from restore_lightning.networks.transformer import ChannelAttentionHeads, GatedFeedForward, TransformerBlock

SMALL = {"width": 8, "blocks": (1, 1, 2, 1), "refinement": 1, "heads": (1, 2, 2, 4), "expansion": 2.0}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 26_126_644),
        ({"layer_norm": "BiasFree"}, 26_111_668),
        ({"layer_norm": "BiasFree", "image_channels": 1}, 26_109_076),
        ({"dual_pixel": True}, 26_132_548),
    ],
)
def test_parameters_are_the_released_ones(arguments, count):
    with torch.device("meta"):
        assert parameters(Restormer(**arguments)) == count


@pytest.mark.parametrize("arguments", [{}, {"dual_pixel": True}])
def test_sizes(arguments):
    """The declared sizes are measured: all of them work, and no other does."""
    network = Restormer(**SMALL | arguments)
    assert (network.info.sizes.multiple, network.info.sizes.minimum) == (8, 8)
    for size in range(1, 25):
        image = torch.rand(1, network.info.channels, size, 16)
        if size % 8 == 0:
            assert network(image).shape == (1, 3, size, 16)
        else:
            with pytest.raises(RuntimeError):
                network(image)


def attention(module, x):
    """Multi-DConv head transposed attention by NumPy, (C, H, W)."""
    channels, _height, _width = x.shape
    qkv = module.qkv_dwconv(module.qkv(torch.from_numpy(x)[None]))[0].detach().numpy()
    each, parts = channels // module.heads, []
    for head in range(module.heads):
        rows = slice(head * each, (head + 1) * each)
        q, k, v = (qkv[i * channels : (i + 1) * channels][rows].reshape(each, -1) for i in range(3))
        q, k = (part / np.sqrt((part**2).sum(axis=1, keepdims=True)) for part in (q, k))
        scores = np.exp(q @ k.T * module.temperature[head].item())
        parts.append(scores / scores.sum(axis=1, keepdims=True) @ v)
    weight = module.project_out.weight.detach().numpy()[:, :, 0, 0]
    return (weight @ np.concatenate(parts)).reshape(x.shape) + bias_of(module.project_out)


def bias_of(layer):
    return 0 if layer.bias is None else layer.bias.detach().numpy()[:, None, None]


@pytest.mark.parametrize(("channels", "heads", "bias"), [(4, 1, False), (6, 2, True), (8, 8, False)])
def test_attention_by_numpy(channels, heads, bias):
    torch.manual_seed(0)
    module = ChannelAttentionHeads(channels, heads, bias).double()
    nn.init.normal_(module.temperature)
    x = torch.randn(2, channels, 5, 7, dtype=torch.float64)
    found = module(x).detach().numpy()
    for image, expected in zip(found, x.numpy(), strict=True):
        np.testing.assert_allclose(image, attention(module, expected), rtol=1e-10, atol=1e-12)


def test_the_feed_forward_network_has_the_exact_gelu():
    torch.manual_seed(0)
    module = GatedFeedForward(4, 2.66, bias=True).double()
    assert module.project_out.in_channels == 10
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    hidden = module.dwconv(module.project_in(x))[0].detach().numpy()
    normal = 0.5 * (1 + np.vectorize(math.erf)(hidden[:10] / math.sqrt(2)))
    gated = hidden[:10] * normal * hidden[10:]
    expected = np.einsum("oc,chw->ohw", module.project_out.weight.detach().numpy()[:, :, 0, 0], gated)
    np.testing.assert_allclose(module(x)[0].detach().numpy(), expected + bias_of(module.project_out), atol=1e-12)


@pytest.mark.parametrize("channels", [48, 96, 192, 384])
def test_hidden_channels_of_the_released_networks(channels):
    hidden = {48: 127, 96: 255, 192: 510, 384: 1021}[channels]
    with torch.device("meta"):
        assert TransformerBlock(channels, 1, 2.66, False, "WithBias").ffn.project_out.in_channels == hidden


@pytest.mark.parametrize(("layer_norm", "bias"), [("WithBias", False), ("BiasFree", False), ("WithBias", True)])
@pytest.mark.parametrize("dual_pixel", [True, False])
def test_gradients_reach_every_parameter(layer_norm, bias, dual_pixel):
    torch.manual_seed(0)
    network = Restormer(**SMALL, layer_norm=layer_norm, bias=bias, dual_pixel=dual_pixel)
    network(torch.rand(1, network.info.channels, 16, 24)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    unreached = {name for name, p in network.named_parameters() if not p.grad.any()}
    # A head of two channels or more attends; the temperature of one channel alone has no effect.
    assert all(name.endswith("temperature") for name in unreached)


def test_biases_are_where_the_authors_have_them():
    names = {name for name, _ in Restormer(**SMALL, bias=True).named_parameters()}
    assert {"output.bias", "unet.reduces.1.bias", "unet.latent.0.attn.qkv.bias"} <= names
    assert not any(name.startswith(("embed.bias", "unet.downs", "unet.ups")) and "bias" in name for name in names)


def test_the_global_skip():
    """The residual of the image; of dual pixels none, but the first features."""
    image = torch.rand(1, 6, 8, 8)
    for network in (Restormer(**SMALL), Restormer(**SMALL, dual_pixel=True)):
        nn.init.zeros_(network.output.weight)
        given = image[:, : network.info.channels]
        expected = torch.zeros(1, 3, 8, 8) if network.skip else given
        assert torch.equal(network(given), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layer_norm", ["WithBias", "BiasFree"])
def test_half_precision(dtype, layer_norm):
    torch.manual_seed(0)
    network = Restormer(**SMALL, layer_norm=layer_norm).eval()
    image = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        exact = network(image)
        half = network.to(dtype)
        assert half(image.to(dtype)).dtype == dtype
        torch.testing.assert_close(half(image.to(dtype)).float(), exact, rtol=0, atol=0.05)
        assert half(torch.zeros_like(image).to(dtype)).isfinite().all()  # q and k are zero


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 7}, "width=7: an even number, at least 2"),
        ({"blocks": (1, 1, 1)}, r"blocks=\[1, 1, 1\]: give 4 numbers"),
        ({"blocks": (1, 1, 1, -1)}, "none below 0"),
        ({"heads": (1, 2, 4)}, r"heads=\[1, 2, 4\]: give 4 numbers"),
        ({"heads": (3, 2, 4, 8)}, "heads=3: a divisor of the level's 8 channels"),
        ({"heads": (0, 2, 4, 8)}, "heads=0: a divisor"),
        ({"expansion": 0.1}, "expansion=0.1: leaves none of 8 channels"),
        ({"image_channels": 0}, "image_channels=0: a whole number, at least 1"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        Restormer(**SMALL | arguments)


def test_images_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="images of 3 channels: this Restormer reads 6"):
        Restormer(**SMALL, dual_pixel=True)(torch.rand(1, 3, 8, 8))
