import pytest
import torch
from torch.nn import functional

from restore_lightning.networks import DRN


def test_parameters_are_the_papers():
    def count(network):
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(DRN()) == 10_595  # table 1
    assert count(DRN(resblocks=1)) == 5_955  # the text
    assert count(DRN(T=5, R=8)) == 10_595  # recursion costs none


@pytest.mark.parametrize("stages", [5, 6, 7, 8])
def test_stages(stages):
    network = DRN(T=stages, R=stages)
    image = torch.rand(2, 3, 9, 7)
    images = network.stages(image)
    assert len(images) == stages
    assert torch.equal(images[-1], network(image))


@pytest.mark.parametrize("resblocks", [1, 2])
def test_equation_1(resblocks):
    """x_t = y + out(recursive(in(y, x_{t-1}))), written out."""
    torch.manual_seed(0)
    network = DRN(T=2, R=3, resblocks=resblocks, width=4)
    y = torch.rand(1, 3, 8, 8)
    image = y
    for _ in range(2):
        x = functional.relu(network.read(torch.cat([y, image], dim=1)))
        for _ in range(3):
            for block in network.resblocks:
                x = functional.relu(functional.relu(block[1](functional.relu(block[0](x)))) + x)
        image = network.write(x) + y
    assert torch.equal(network(y), image)


def test_any_size():
    for size in ((1, 1), (2, 5), (13, 8)):
        assert DRN(T=2, R=2)(torch.rand(1, 3, *size)).shape[-2:] == size


@pytest.mark.parametrize("name", ["T", "R", "width"])
def test_what_cannot_be_built(name):
    with pytest.raises(ValueError, match=f"{name}=0: a whole number, at least 1"):
        DRN(**{name: 0})
