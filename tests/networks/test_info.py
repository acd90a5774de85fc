"""What each network declares of itself, measured."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_lightning.inference import network_outputs
from restore_lightning.networks import (
    DIN,
    DRN,
    MBN,
    DuRN,
    NAFNet,
    NetworkInfo,
    PromptIR,
    Restormer,
    SizeRule,
    network_info,
    set_size_multiple,
)
from restore_lightning.networks.durn import PRESETS

DIN_SIZE = {"D": 2, "B": 1, "M": 2, "growth": 2, "width": 8}
BLOCK = {"stem": [(3, 3, 1)], "extra": [(3, 3, 1)] * 2}
LEVELS = ["rain", "blur", "haze"]  # a convlstm, a multiscale and a basic pair
NETWORKS = {
    **{f"DuRN {preset}": lambda preset=preset: DuRN(preset, width=4) for preset in PRESETS},
    "DuRN P of colours": lambda: DuRN("P", image_channels=3, width=4),
    "gray DuRN US": lambda: DuRN("US", image_channels=1, width=4),
    "DuRN S of two blocks": lambda: DuRN("S", width=4, blocks=[("S", 3, 3, 2), ("S", 5, 5, 1)]),
    "released DuRN U": lambda: DuRN("U", width=4, released=True),
    "released DuRN S-P": lambda: DuRN("S-P", width=4, released=True),
    "DRN": lambda: DRN(T=3, R=2, width=4),
    **{f"DIN {fusion}": lambda fusion=fusion: DIN(fusion=fusion, **DIN_SIZE) for fusion in ("asyca", "concat", "se")},
    "DIN sum x2": lambda: DIN(2, fusion="sum", **DIN_SIZE),
    "DIN asyca x2": lambda: DIN(2, **DIN_SIZE),
    "DIN of one branch": lambda: DIN(**{**DIN_SIZE, "M": 1}),
    "DIN of stride 4": lambda: DIN(stride=4, fusion="sum", **DIN_SIZE),
    "NAFNet": lambda: NAFNet(width=4, encoders=[1, 1], decoders=[1, 1]),
    "NAFNetLocal": lambda: NAFNet(width=4, encoders=[1], decoders=[1], train_size=256),
    "gray NAFNet": lambda: NAFNet(width=4, encoders=[1], decoders=[1], image_channels=1),
    "Restormer": lambda: Restormer(width=8, blocks=[1, 1, 1, 1], refinement=1),
    "PromptIR": lambda: PromptIR(width=8, blocks=[1, 1, 1, 1], refinement=1, prompt_channels=[4, 4, 8]),
    "MBN": lambda: MBN(LEVELS, width=2),
    "released MBN": lambda: MBN(LEVELS, width=2, released=True, **BLOCK),
    "MBN of two scales": lambda: MBN(LEVELS, width=2, scales=2, **BLOCK),
    "MBN of NAFNet's blocks": lambda: MBN(LEVELS, width=2, stem="nafnet", iterations=1, scales=1),
    "MBN minimal": lambda: MBN(LEVELS, "minimal", width=2),
    "MBN minimal_text": lambda: MBN(LEVELS, "minimal_text", width=2),
    "MBN without statistics": lambda: MBN(
        LEVELS, width=2, statistics=[], fusion=False, scales=2, stem=[(7, 3, 1)], extra=[(3, 3, 1)] * 2
    ),
    "MBN minimal without attention": lambda: MBN(LEVELS, "minimal", width=2, statistics=[], **BLOCK),
}


def made(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    for parameter in network.parameters():
        if not parameter.any():  # what begins at zero would hide what it weighs
            nn.init.normal_(parameter, std=0.1)
    return network


def image_for(network, factor, size=None):
    size = size or network.info.size_rule(factor).padded(64)
    return torch.rand(1, network.info.channels, size, size)


def result(network, image, factor):
    with torch.no_grad():
        return network_outputs(network, image, factor)[-1]


def each_factor(network):
    return network.info.factors or (None,)


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_and_scale(name):
    """Every size around the smallest one: accepted ones are enlarged by the scale, no other works."""
    network = made(name)
    for factor in each_factor(network):
        rule = network.info.size_rule(factor)
        for size in range(max(1, rule.minimum - rule.multiple - 1), rule.minimum + 2 * rule.multiple + 2):
            try:
                sides = result(network, image_for(network, factor, size), factor).shape[2:]
            except (RuntimeError, ValueError):
                sides = None
            accepted = rule.padded(size) == size
            assert (sides == (network.info.scale * size,) * 2) == accepted, (factor, size)


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_and_factors(name):
    network = made(name)
    channels = network.info.channels
    for factor in each_factor(network):
        image = image_for(network, factor)
        assert result(network, image, factor).shape[1] == channels
        told = () if factor is None else (factor,)
        with pytest.raises((RuntimeError, ValueError)):
            network(image[:, :1].repeat(1, 4 - channels, 1, 1), *told)
        if factor is None:
            with pytest.raises(TypeError):
                network(image, "rain")
        else:
            with pytest.raises(ValueError, match=r"unknown factor 'fog': this network has rain, blur, haze"):
                network(image, "fog")


def reaches_far(network, factor=None):
    """Whether the corner of an image changes its opposite corner, be it by the last bit."""
    image = image_for(network, factor, 192).double()
    other = image.clone()
    other[..., :32, :32] *= -10
    before, after = (result(network.double(), one, factor)[..., -8:, -8:] for one in (image, other))
    return not torch.equal(before, after)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "MBN of NAFNet's blocks")) for name in NETWORKS],
)
def test_tiling(name):
    network = made(name)
    far = [reaches_far(network, factor) for factor in each_factor(network)]
    assert network.info.tiling == ("approximate" if any(far) else "exact")


def half_precision_errors(network, factor=None):
    """Mean error under autocast to bfloat16 and float16, as parts of what the network adds to an image."""
    image = image_for(network, factor)
    expected = result(network, image, factor)
    added = (expected - functional.interpolate(image, expected.shape[2:], mode="bicubic")).abs().mean()
    errors = []
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            errors.append(float((result(network, image, factor).float() - expected).abs().mean() / added))
    return errors


def half_precision_is_safe(network, factor=None):
    """Finite, and within 5% and 1% of what the network adds."""
    bfloat16, float16 = half_precision_errors(network, factor)
    return bfloat16 < 0.05 and float16 < 0.01  # NaN is not


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision(name):
    """What declares it is safe with fresh weights at least; the released DRN, which is so too, is not when trained."""
    network = made(name)
    assert network.info.half_precision == (isinstance(network, MBN) and name != "MBN of NAFNet's blocks")
    if network.info.half_precision:
        assert all(half_precision_is_safe(network, factor) for factor in each_factor(network))


class Foreign(nn.Module):
    """A network of someone else's, which overflows in float16 and averages over the whole image."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image):
        return image + (300 * self.layer(image)).square().mean(dim=(2, 3), keepdim=True) / 90000


def test_the_measures_tell_what_is_not_so():
    network = Foreign().eval()
    network.info = NetworkInfo(channels=3)
    assert reaches_far(network)
    assert not half_precision_is_safe(network.float())


def test_modules_that_declare_nothing():
    assert network_info(Foreign()) == NetworkInfo()
    assert network_info(Foreign()).size_rule() == SizeRule(1, 1)
    assert network_info(Foreign()).channels is None


def test_what_a_foreign_module_declares():
    network = Foreign()
    network.size_rule, network.image_channels = SizeRule(8, 16), 1
    assert network_info(network) == NetworkInfo(channels=1, sizes=SizeRule(8, 16))
    set_size_multiple(network, 4)
    assert network_info(network) == NetworkInfo(channels=1, sizes=SizeRule(4, 4))
    told = Foreign()
    told.factors, told.size_rule = ["rain", "haze"], {"rain": SizeRule(1, 1), "haze": SizeRule(4, 4)}.get
    assert network_info(told).factors == ("rain", "haze")
    assert network_info(told).size_rule("haze") == SizeRule(4, 4)
    own = NetworkInfo(scale=2, half_precision=True)
    network.info = own
    assert network_info(network) is own


def test_the_released_raindrop_network_reads_bgr():
    plain, released = DuRN("S-P", width=4).eval(), made("released DuRN S-P")
    released.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 32, 32)
    assert (plain.info.colour, released.info.colour) == ("rgb", "bgr")
    with torch.no_grad():
        expected = plain(image.flip(1)).flip(1)
    # Not to the last bit: the two tensors have other strides, for which processors may sum in another order.
    torch.testing.assert_close(result(released, image, None), expected, rtol=0, atol=1e-5)


def test_sizes_of_the_papers_networks():
    """Those that the released code accepts."""
    assert {preset: DuRN(preset, width=4).info.sizes for preset in PRESETS} == {
        **dict.fromkeys(("P", "P-no-norm", "S"), SizeRule(1, 16)),
        "U": SizeRule(4, 8),
        "US": SizeRule(4, 12),
        "S-P": SizeRule(4, 16),
    }
    assert MBN(width=2).info.sizes == {
        "rain": SizeRule(2, 4),
        **dict.fromkeys(("blur", "jpeg"), SizeRule(16, 64)),
        "haze": SizeRule(4, 16),
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_layers_name_modules(preset):
    network = DuRN(preset, width=4)
    layers = network.info.layers
    assert layers.keys() >= {"l=0", "residual"}
    assert set(layers.values()) <= set(dict(network.named_modules()))
    if preset == "US":  # supplement, figure 1
        assert [title for title in layers if title.startswith("l=")] == ["l=0", "l=3", "l=6", "l=12"]
    assert ("attention" in layers) == (preset == "S-P")


class Owned(nn.Module):
    """A network of someone else's whose attribute `info` is something else."""

    def __init__(self, info):
        super().__init__()
        self.info = info

    def forward(self, image):
        return image


@pytest.mark.parametrize("info", [{"k": 3}, nn.Conv2d(1, 1, 1), "a text"])
def test_what_a_foreign_network_calls_info_stays(info):
    network = Owned(info)
    set_size_multiple(network, 8)
    assert network.info is info
    assert network_info(network).size_rule() == SizeRule(8, 8)


def test_attributes_of_a_foreign_network():
    network = Owned(None)
    network.size_rule = lambda factor=None: SizeRule(4, 16)
    network.reads_bgr, network.maps, network.image_channels = True, {"first": "conv"}, 3
    info = network_info(network)
    assert (info.size_rule(), info.colour, info.layers, info.channels) == (SizeRule(4, 16), "bgr", {"first": "conv"}, 3)
    network.forward = lambda image: image * torch.tensor([1.0, 0.5, 0.0])[:, None, None]  # blue, green, red
    assert result(network, torch.ones(1, 3, 16, 16), None).mean(dim=(0, 2, 3)).tolist() == [0.0, 0.5, 1.0]
