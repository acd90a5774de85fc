import numpy as np
import pytest
import torch

from restore_lightning.inference import pad_by_reflection, restore
from restore_lightning.networks import MBN, SizeRule


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (17, 3), (64, 64)])
@pytest.mark.parametrize("target", [(64, 64), (80, 96)])
def test_padding_is_numpys_reflection(size, target):
    image = torch.rand(2, 3, *size)
    pad = ((0, 0), (0, 0), (0, target[0] - size[0]), (0, target[1] - size[1]))
    expected = np.pad(image.numpy(), pad, mode="reflect" if min(size) > 1 else "edge")
    if min(size) > 1 or size == (1, 1):
        assert np.array_equal(pad_by_reflection(image, *target).numpy(), expected)


def test_padded_sizes():
    rule = SizeRule(multiple=16, minimum=64)
    assert [rule.padded(size) for size in (1, 64, 65, 80, 81)] == [64, 64, 80, 80, 96]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MBN(width=4, stem=[(3, 3, 1)]).eval()


@pytest.mark.parametrize("factor", ["rain", "blur", "jpeg", "haze"])
@pytest.mark.parametrize("size", [(1, 1), (5, 70), (64, 80), (101, 67)])
def test_any_size(network, factor, size):
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        restored = restore(network, image, factor)
    assert restored.shape == image.shape
    assert 0 <= restored.min() <= restored.max() <= 1


def test_accepted_sizes_are_not_touched(network):
    image = torch.rand(1, 3, 64, 80)
    with torch.no_grad():
        torch.testing.assert_close(restore(network, image, "jpeg"), network(image, "jpeg")[-1].clamp(0, 1))
