import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_lightning.networks import DuRN
from restore_lightning.networks.attention import SEResNet
from restore_lightning.networks.dual_residual import BLOCK_DESIGNS, BlockSpec, ConvBase, DualResidualBlock, durb
from restore_lightning.networks.durn import PRESETS
from restore_lightning.networks.layers import PaddedConv2d

PARAMETERS = {
    "P": 816_225,
    "P-no-norm": 815_651,
    "U": 12_856_579,
    "US": 9_070_915,
    "S": 3_729_923,
    "S-P": 10_176_963,  # the released one counts one more, which it never uses
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_parameters_are_the_papers(preset):
    with torch.device("meta"):
        assert count(DuRN(preset)) == PARAMETERS[preset]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_preset_on_any_images(preset, channels):
    """Supplement, table 5: each block on each task; sizes that are accepted keep the size of the image."""
    network = DuRN(preset, image_channels=channels, width=4).eval()
    multiple, minimum = network.info.sizes.multiple, network.info.sizes.minimum
    for height, width in ((minimum, minimum), (minimum + multiple, minimum + 3 * multiple)):
        image = torch.rand(1, channels, height, width)
        assert network(image).shape == image.shape


def test_the_dual_connection_is_the_papers():
    """Fig. 1(d): x' = relu(T2(relu(T1(f x) + r)) + x), and the styles b and c of table 1."""
    torch.manual_seed(0)
    x, r = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    f, t1, t2 = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
    relu, h = functional.relu, f(x)
    expected = {
        "d": (relu(t2(relu(t1(h) + r)) + x), relu(t1(h) + r)),
        "b": (relu(t2(relu(t1(h))) + x), r),
        "c": (relu(t2(relu(t1(h) + h)) + relu(t1(h) + h)), r),
    }
    for style, states in expected.items():
        found = DualResidualBlock(f, t1, t2, style=style)(x, r)
        for mine, theirs in zip(found, states, strict=True):
            torch.testing.assert_close(mine, theirs)


def test_norms_come_before_or_after_the_sums():
    p, u = durb("P", BlockSpec(3, 3), 4, nn.BatchNorm2d), durb("U", BlockSpec(3, 3), 4, nn.BatchNorm2d)
    assert [type(layer) for layer in p.t1] == [PaddedConv2d, nn.BatchNorm2d]
    assert type(p.n1) is type(p.n2) is nn.Identity
    assert type(u.n1) is type(u.n2) is nn.BatchNorm2d
    assert [type(layer) for layer in u.t1] == [PaddedConv2d, nn.BatchNorm2d, nn.PixelShuffle, PaddedConv2d]
    base = ConvBase(4, nn.BatchNorm2d).eval()
    x = torch.randn(1, 4, 6, 6)
    inner = functional.relu(base.norm1(base.conv1(x)))
    torch.testing.assert_close(base(x), functional.relu(base.norm2(base.conv2(inner) + x)))


@pytest.mark.parametrize("preset", ["P", "P-no-norm", "S", "S-P"])
@pytest.mark.parametrize("style", ["b", "c", "d"])
def test_feasible_connection_styles(preset, style):
    network = DuRN(preset, image_channels=3, width=4, style=style).eval()
    assert count(network) == count(DuRN(preset, image_channels=3, width=4))
    image = torch.rand(1, 3, 16, 16)
    assert network(image).shape == image.shape


@pytest.mark.parametrize("preset", ["U", "US"])
def test_style_c_is_refused_where_the_size_changes(preset):
    with pytest.raises(ValueError, match=f"'c' cannot be built from DuRB-{preset}.*table 1.*choose style 'b' or 'd'"):
        DuRN(preset, style="c")
    assert DuRN(preset, width=4, style="b")(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)


def test_styles_differ():
    torch.manual_seed(0)
    networks = [DuRN("P", width=4, style=style).eval() for style in "bcd"]
    image = torch.rand(1, 1, 16, 16)
    for network in networks[1:]:
        network.load_state_dict(networks[0].state_dict())
    for one, other in itertools.combinations(networks, 2):
        assert not torch.equal(one(image), other(image))


def test_blocks_of_ones_own():
    network = DuRN("S", width=4, blocks=[("S", 3, 3, 2), ("S", 5, 5, 1)])
    assert len(network.blocks) == 2
    assert network.info.size_rule().minimum == 3
    mixed = DuRN("S-P", width=4, blocks=[("S", 3, 3, 2), ("P", 3, 3, 1)])
    assert mixed.kinds == ["S", "P"]


def test_r_starts_again_where_the_kind_changes():
    """DuRN-S-P: after the S blocks, r is reset to x."""
    network = DuRN("S-P", width=4).eval()
    inputs = []
    for block in network.blocks:
        block.register_forward_pre_hook(lambda module, given: inputs.append(given))
    network(torch.rand(1, 3, 32, 32))
    resets = [place for place, (x, r) in enumerate(inputs) if x is r]
    assert resets == [0, 3]


@pytest.mark.parametrize("preset", ["U", "US"])
def test_r_starts_at_half_the_resolution(preset):
    network = DuRN(preset, width=4).eval()
    inputs = []
    network.blocks[0].register_forward_pre_hook(lambda module, given: inputs.append(given))
    network(torch.rand(1, 3, 32, 48))
    ((x, r),) = inputs
    assert (x.shape[-2:], r.shape[-2:]) == ((8, 12), (16, 24))


def test_raindrops_are_subtracted():
    network = DuRN("S-P", width=4).eval()
    residuals = []
    network.tanh.register_forward_hook(lambda module, given, output: residuals.append(output))
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(network(image), image - residuals[0])


def test_attention_is_normalised_too():
    modules = list(DuRN("S", width=4).modules())
    attentive = [module for module in modules if isinstance(module, SEResNet)]
    assert len(attentive) == 6
    assert all(isinstance(module.norm1, nn.BatchNorm2d) for module in attentive)
    assert BLOCK_DESIGNS["US"].attention


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "P", "blocks": []}, "at least one"),
        ({"preset": "P", "blocks": [("S", 3, 3, 1)]}, "blocks of kind P, not 'S'"),
        ({"preset": "P", "blocks": [("P", 4, 3, 1)]}, "k1=4: a block's kernels are odd"),
        ({"preset": "P", "blocks": [("P", 3, 3, 0)]}, "dilation=0"),
        ({"preset": "U", "width": 5}, "width=5: an even number"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        DuRN(**arguments)
