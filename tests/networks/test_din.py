import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_lightning.networks import DIN
from restore_lightning.networks.attention import AsymmetricCoAttention
from restore_lightning.networks.din import RDB, WRDB, ConcatFusion

SMALL = {"D": 2, "B": 2, "M": 3, "growth": 4, "width": 8}


@pytest.mark.parametrize(("scale", "parameters"), [(2, 19_928_307), (3, 20_112_947), (4, 20_076_019), (8, 20_223_731)])
def test_parameters_are_the_papers(scale, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in DIN(scale).parameters()) == parameters


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_scales(scale):
    assert DIN(scale, **SMALL)(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize("fusion", ["asyca", "concat", "sum", "se"])
@pytest.mark.parametrize(("dwc", "gff"), list(itertools.product([True, False], repeat=2)))
def test_ablations_of_table_1_and_fig_7(fusion, dwc, gff):
    network = DIN(2, fusion=fusion, dwc=dwc, gff=gff, **SMALL)
    names = {name for name, _ in network.named_parameters()}
    assert any(".weights." in name for name in names) == dwc
    assert any(name.startswith("ends") for name in names) == gff
    assert any(name.startswith("nodes") for name in names) == (fusion != "sum")
    image = torch.rand(1, 3, 6, 7, requires_grad=True)
    network(image).sum().backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert unused == []


def test_weighted_connections_are_equation_3():
    torch.manual_seed(0)
    block = WRDB(8, 4, 3, dwc=True)
    x = torch.randn(1, 8, 5, 5)

    def weighed(b, i, state):
        layer = block.weights[b][i]
        return layer.weight[:, :, 0, 0].T[..., None, None] * state + layer.bias[:, None, None]

    x0 = functional.leaky_relu(block.first(x), 0.2)
    x2 = block.blocks[0](x0) + weighed(0, 0, x0)
    x3 = block.blocks[1](x2) + weighed(1, 1, x2) + weighed(1, 0, x0)
    out = block.blocks[2](x3) + weighed(2, 2, x3) + weighed(2, 1, x2) + weighed(2, 0, x0)
    torch.testing.assert_close(block(x), 0.1 * out + x)


def test_a_dense_block_sees_all_before():
    torch.manual_seed(0)
    block = RDB(6, 3)
    x = torch.randn(1, 6, 5, 5)
    seen = [x]
    for layer in block.convolutions[:5]:
        seen.append(functional.leaky_relu(layer(torch.cat(seen, 1)), 0.2))
    torch.testing.assert_close(block(x), 0.1 * block.convolutions[5](torch.cat(seen, 1)) + x)


def test_co_attention_weights_sum_to_one():
    """Eq. 10 to 12: constant maps 1 and 0 give alpha, the weight of the first, in (0, 1)."""
    torch.manual_seed(0)
    fuse = AsymmetricCoAttention(8)
    first, second = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
    fused = fuse(first, second)
    alpha = (fused - second) / (first - second)
    torch.testing.assert_close(alpha, alpha[:, :, :1, :1].expand_as(alpha), rtol=1e-3, atol=1e-4)
    assert bool(((alpha > 0) & (alpha < 1)).all())
    torch.testing.assert_close(fuse(first, first), first)


@pytest.mark.parametrize("released", [True, False])
def test_the_first_node_of_a_branch(released):
    """Eq. 14: the last and the first state of the branch before; released: the first with itself."""
    network = DIN(2, released=released, **SMALL)
    given = []
    network.nodes[0][0].register_forward_pre_hook(lambda module, inputs: given.append(inputs))
    ends = []
    for block in network.branches[0]:
        block.register_forward_hook(lambda module, inputs, output: ends.append(output))
    network(torch.rand(1, 3, 6, 6))
    ((first, second),) = given
    assert second is ends[0]
    assert first is (ends[0] if released else ends[-1])


@pytest.mark.parametrize(("released", "mode"), [(True, "bilinear"), (False, "bicubic")])
def test_the_global_skip(released, mode):
    network = DIN(3, released=released, **SMALL)
    nn.init.zeros_(network.back[-1].weight)
    nn.init.zeros_(network.back[-1].bias)
    image = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(network(image), functional.interpolate(image, scale_factor=3, mode=mode))


def test_one_branch_has_no_nodes():
    network = DIN(1, D=1, B=1, M=1, growth=2, width=4)
    assert len(network.nodes) == 0
    assert network(torch.rand(1, 3, 5, 4)).shape == (1, 3, 5, 4)
    assert isinstance(DIN(1, fusion="se", **SMALL).nodes[0][0], ConcatFusion)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"D": 0}, "D=0: at least 1"),
        ({"M": 0}, "M=0: at least 1"),
        ({"width": 6}, "width=6: a multiple of 4"),
        ({"scale": 2, "stride": 4}, "super-resolution has no strided front"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        DIN(**arguments)
