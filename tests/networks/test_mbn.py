import itertools

import pytest
import torch

from restore_lightning.networks import MBN
from restore_lightning.networks.branches import BasicInput, ConvLSTMInput, MultiScaleInput
from restore_lightning.networks.naf_pair import NAFPair

FACTORS = ["rain", "blur", "jpeg", "haze"]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def full():
    return MBN()


def test_parameters_of_every_part_are_the_papers(full):
    # Paper 2, tables 7 and 8; exact numbers from the released network.
    assert count(full) == 11_254_072
    assert {k: count(v) for k, v in full.inputs.items()} == {
        "rain": 315_392,
        "blur": 981_984,
        "jpeg": 981_984,
        "haze": 74_784,
    }
    assert [count(block) for block in full.stem] == [640_032, 738_336, 738_336, 836_640, 984_096]
    assert [count(block) for block in full.extra] == [984_096, 1_426_464, 1_426_464]
    assert {k: count(v) for k, v in full.outputs.items()} == {
        "rain": 40_707,
        "blur": 478_089,
        "jpeg": 478_089,
        "haze": 128_579,
    }


def test_a_stem_of_nafnets_blocks(full):
    """The same branches; statistics and fusion are those of the blocks between output branches."""
    with torch.device("meta"):
        network = MBN(stem="nafnet")
        plain = MBN(stem="nafnet", statistics=[], fusion=False)
    assert [count(pair) for pair in network.stem] == [757_088] * 5
    assert count(network) - count(network.stem) == count(full) - count(full.stem)
    assert count(plain.stem) == count(network.stem) == 3_785_440
    assert count(plain.extra) < count(network.extra)


def test_a_fresh_pair_of_nafnets_blocks():
    """What x and r hold is exchanged; the blocks begin as the identity."""
    torch.manual_seed(0)
    pair = NAFPair(6, 4, 1, 2)
    x, r = torch.rand(2, 6, 5, 3), torch.rand(2, 4, 10, 6)
    expected = r + torch.pixel_shuffle(pair.up[0](x), 2)
    found = pair(x, r)
    torch.testing.assert_close(found[1], expected)
    torch.testing.assert_close(found[0], x + pair.down(expected))


def test_minimal_design_shares_one_input_branch():
    network = MBN(hierarchy=[FACTORS], design="minimal")
    assert list(network.inputs) == ["shared"]
    assert count(network.inputs) == 74_784  # 0.07 M in table 7
    assert [count(output) for output in network.outputs.values()] == [128_579] * 4  # 0.52 M together
    assert count(network.stem) == 3_937_440  # 3.94 M
    assert len(network.extra) == 0


def test_minimal_design_with_the_texts_widths():
    network = MBN(hierarchy=[["a", "b"]], design="minimal_text")
    channels = [m.out_channels for m in network.inputs["shared"].modules() if isinstance(m, torch.nn.Conv2d)]
    assert channels == [48, 96, 64, 96]  # 64: r, which the text leaves open
    assert network(torch.rand(1, 3, 32, 32), "b")[0].shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("hierarchy", "levels"),
    [
        (["rain", "blur", "haze"], [0, 1, 2]),  # R->B->H
        ([["blur", "haze"], "rain"], [0, 0, 1]),  # BH->R
        ([["rain", "blur", "haze"]], [0, 0, 0]),  # RBH
        (["rain", "blur", "jpeg", "haze"], [0, 1, 2, 3]),
        (["a", "b", "c", "d", "e", "f"], [0, 1, 2, 3, 4, 5]),
        (["motion blur", "raindrop-2"], [0, 1]),
    ],
)
@pytest.mark.parametrize("design", ["improved", "minimal"])
def test_any_hierarchy(hierarchy, levels, design):
    network = MBN(hierarchy=hierarchy, design=design, width=2, stem=[(3, 3, 1)])
    assert list(network.levels.values()) == levels
    assert len(network.extra) == max(levels)
    image = torch.rand(1, 3, 64, 64)
    for factor in network.info.factors:
        assert network(image, factor)[-1].shape == image.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hierarchy": ["rain", "rain"]}, "'rain' twice"),
        ({"hierarchy": ["rain", ["blur", "rain"]]}, "'rain' twice"),
        ({"hierarchy": []}, "empty"),
        ({"hierarchy": ["rain", []]}, "level 1 names no factor"),
        ({"hierarchy": ["rain.heavy"]}, "cannot be a name"),
        ({"hierarchy": ["type"]}, "cannot be a name"),
        ({"width": 3}, "even"),
        ({"width": 0}, "at least 2"),
        ({"stem": []}, "at least one block"),
        ({"stem": [(4, 3, 1)]}, "odd"),
        ({"stem": "durb"}, "stem='durb': .* or 'nafnet'"),
        ({"extra": [(3, 3, 1)]}, "3 between them"),
        ({"pairs": {"snow": "basic"}}, "snow is not in the hierarchy"),
        ({"pairs": {"rain": "basic"}, "design": "minimal"}, "improved"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MBN(**arguments)


def test_unknown_factor_is_refused():
    with pytest.raises(ValueError, match=r"unknown factor 'fog'.*rain, blur, jpeg, haze"):
        MBN(width=2)(torch.rand(1, 3, 64, 64), "fog")


def test_kinds_of_pairs():
    network = MBN(hierarchy=[*FACTORS, "noise"], width=2, pairs={"noise": "multiscale"})
    kinds = {"rain": ConvLSTMInput, "blur": MultiScaleInput, "jpeg": MultiScaleInput, "haze": BasicInput}
    for factor, kind in (kinds | {"noise": MultiScaleInput}).items():
        assert type(network.inputs[factor]) is kind


def test_outputs_coarsest_first():
    network = MBN(width=2)
    image = torch.rand(1, 3, 64, 96)
    assert [tuple(o.shape[2:]) for o in network(image, "blur")] == [(16, 24), (32, 48), (64, 96)]
    assert [tuple(o.shape[2:]) for o in network(image, "rain")] == [(64, 96)]


@pytest.mark.parametrize("stem", [None, "nafnet"])
def test_scaled_init_keeps_the_size_of_the_features(stem):
    network = MBN(width=8, stem=stem, init="scaled")
    image = torch.rand(2, 3, 64, 64)
    sizes = []
    for output in network.outputs.values():
        for last in output.last:
            last.register_forward_pre_hook(lambda module, given: sizes.append(given[0].std().item()))
    with torch.no_grad():
        for factor in FACTORS:
            network(image, factor)
    assert all(0.05 < size < 20 for size in sizes), sizes


def test_scaled_init_returns_the_input():
    network = MBN(width=2, init="scaled")
    image = torch.rand(2, 3, 64, 64)
    for factor in FACTORS:
        torch.testing.assert_close(network(image, factor)[-1], image, rtol=0, atol=0)


@pytest.mark.parametrize("stem", [None, "nafnet"])
@pytest.mark.parametrize("factor", FACTORS)
def test_gradients_reach_exactly_the_active_branch(factor, stem):
    network = MBN(width=2, stem=stem)
    outputs = network(torch.rand(1, 3, 64, 64), factor)
    torch.stack([output.square().sum() for output in outputs]).sum().backward()
    active = {id(p) for module in network.path(factor) for p in module.parameters()}
    for name, parameter in network.named_parameters():
        reached = parameter.grad is not None
        assert reached == (id(parameter) in active), name


@pytest.mark.parametrize("statistics", [[], ["tv"], ["mean"], ["mean", "tv"]])
@pytest.mark.parametrize("fusion", [False, True])
def test_ablations_of_table_1(statistics, fusion):
    network = MBN(hierarchy=[FACTORS], design="minimal", width=2, statistics=statistics, fusion=fusion)
    block = network.stem[0]
    squeeze = [m for n, m in block.f.named_modules() if n.endswith("squeeze")]
    assert [m.in_features for m in squeeze] == ([6 * len(statistics)] if statistics else [])
    assert hasattr(block.t2, "merge") == fusion
    assert network(torch.rand(1, 3, 16, 16), "haze")[0].shape == (1, 3, 16, 16)


def test_iterations_and_scales():
    image = torch.rand(1, 3, 32, 32)
    assert len(MBN(width=2, scales=1)(image, "blur")) == 1
    one, four = MBN(width=16, iterations=1), MBN(width=16, iterations=4)
    four.load_state_dict(one.state_dict())  # passes share their weights
    assert not torch.equal(one(image, "rain")[0], four(image, "rain")[0])


SETTINGS = {
    "hierarchy": [["rain", "blur", "jpeg", "haze"], [["rain", "jpeg"], "blur", "haze"]],
    "design": ["improved", "minimal", "minimal_text"],
    "width": [2, 4],
    "stem": [None, [(3, 5, 2)]],
    "scales": [2, 3],
    "statistics": [["mean"], ["mean", "tv"]],
    "fusion": [True, False],
}


@pytest.mark.parametrize("values", list(itertools.product(*SETTINGS.values()))[::7])
def test_load_save_round_trip(values):
    arguments = dict(zip(SETTINGS, values, strict=True))
    one, other = MBN(**arguments).eval(), MBN(**arguments).eval()
    other.load_state_dict(one.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for factor in FACTORS:
            assert torch.equal(one(image, factor)[-1], other(image, factor)[-1])
