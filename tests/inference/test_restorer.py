import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from restore_lightning.hardware import computes_bfloat16
from restore_lightning.inference import InferenceSettings, Restorer, pad_by_reflection, restore
from restore_lightning.networks import DRN, MBN, PromptIR, SizeRule


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


def test_factors_that_are_told_are_removed_from_the_last_one_on(network):
    image = torch.rand(1, 3, 64, 80)
    restorer = Restorer(dict.fromkeys(network.info.factors, network))
    with torch.no_grad():
        steps = restorer.restore_steps(image, ("haze", "rain"))
        first = restore(network, image, "rain")
        second = restore(network, first, "haze")
        assert torch.equal(restorer.restore(image, ("haze", "rain")), second)
    assert [step.factor for step in steps] == ["rain", "haze"]
    assert all(torch.equal(step.image, one) for step, one in zip(steps, (first, second), strict=True))


def test_an_order_does_not_look_at_the_factors(network):
    """And dedicated networks stand beside a multi-branch one."""
    image, drn = torch.rand(1, 3, 64, 64), DRN(T=2, R=1)
    restorer = Restorer({"rain": drn, "haze": network}, ["rain", "haze"], InferenceSettings(self_ensemble=True))
    with torch.no_grad():
        expected = restore(drn, image, settings=restorer.settings)
        expected = restore(network, expected, "haze", restorer.settings)
        for factors in ((), ("rain",), ("snow", "haze")):
            assert torch.equal(restorer.restore(image, factors), expected)
    assert restorer.factors == ["rain", "haze"]


def test_what_a_restorer_refuses(network):
    with pytest.raises(ValueError, match="unknown factor 'snow': there are networks for rain"):
        Restorer({"rain": DRN()}, ["snow"])
    with pytest.raises(ValueError, match="unknown factor 'snow': there are networks for rain"):
        Restorer({"rain": DRN()}).restore(torch.rand(1, 3, 8, 8), ["snow"])
    with pytest.raises(ValueError, match="tile 16: the network takes images from 64 pixels on"):
        Restorer(dict.fromkeys(("rain", "blur"), network), None, InferenceSettings(tile=16, overlap=0))
    Restorer(dict.fromkeys(("rain", "blur"), network), ["rain"], InferenceSettings(tile=16, overlap=0))


def test_networks_move_together(network):
    drn = DRN()
    restorer = Restorer({"rain": drn}).to("meta")
    assert restorer.networks["rain"] is drn
    assert {parameter.device.type for parameter in drn.parameters()} == {"meta"}


def test_networks_and_what_they_get_are_channels_last(network):
    """A memory format, not other numbers; parameters that are no convolutions' stay as they are."""
    module = PromptIR(width=8, blocks=[1, 1, 1, 1], refinement=1, prompt_channels=[4, 4, 8]).eval()
    assert any(parameter.dim() == 5 for parameter in module.parameters())
    restorer = Restorer({"rain": network, "haze": module})
    image = torch.rand(2, 3, 70, 66)
    with torch.no_grad():
        before = {factor: restorer.restore(image, [factor]) for factor in restorer.factors}
        restorer.to("cpu")
        seen = []
        handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        for settings in (restorer.settings, InferenceSettings(tile=64), InferenceSettings(self_ensemble=True)):
            replace(restorer, settings=settings).restore(image, ["rain"])
        handle.remove()
        for factor, expected in before.items():
            torch.testing.assert_close(restorer.restore(image, [factor]), expected, rtol=0, atol=1e-5)
    assert len(seen) > 9
    weights = [parameter for parameter in [*network.parameters(), *module.parameters()] if parameter.dim() == 4]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in (*seen, *weights))


@pytest.mark.parametrize("settings", [InferenceSettings(), InferenceSettings(64, 16, 48, self_ensemble=True)])
def test_images_in_a_batch_are_restored_each_by_itself(network, settings):
    """To 1e-5: attention, local statistics, tiles and self-ensemble are an image's own."""
    images = torch.stack([factor * torch.rand(3, 52, 90) for factor in (0.1, 0.5, 1.0)])
    restorer = Restorer(dict.fromkeys(network.info.factors, network), ["jpeg", "rain"], settings)
    with torch.no_grad():
        together = restorer.restore(images, ())
        alone = torch.cat([restorer.restore(image, ()) for image in images.split(1)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_bfloat16_is_chosen_where_all_networks_and_the_device_compute_in_it(network):
    other = DRN(T=2, R=1)
    other.info = replace(other.info, half_precision=False)
    has = computes_bfloat16("cpu")
    assert (Restorer({"haze": network}).precision("cpu") == torch.bfloat16) == has
    assert Restorer({"haze": network}).precision("meta") == torch.float32  # has no instructions at all
    both = {"haze": network, "rain": other}
    assert Restorer(both).precision("cpu") == torch.float32
    assert (Restorer(both, ["haze"]).precision("cpu") == torch.bfloat16) == has  # the other one is not used


def test_from_checkpoint(step_1, step_2):
    one = Restorer.from_checkpoint(step_2)
    assert one.order == ["haze", "jpeg", "rain", "blur"]
    assert len({id(network) for network in one.networks.values()}) == 1
    several = Restorer.from_checkpoint({"rain": step_1, "haze": step_2})
    assert (several.factors, several.order) == (["rain", "haze"], None)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(several.restore(image, ["haze"]), restore(one.networks["haze"], image, "haze"))


def test_local_statistics_in_a_cascade_are_of_those_that_have_statistics(network):
    """A DRN has none, and is used as it is."""
    image, drn, local = torch.rand(1, 3, 96, 80), DRN(T=2, R=1).eval(), InferenceSettings(local_statistics=64)
    cascade = Restorer({"rain": drn, "haze": network}, ["haze", "rain"], local)
    with torch.no_grad():
        expected = restore(drn, restore(network, image, "haze", local), "rain")
        assert torch.equal(cascade.restore(image, ()), expected)
    with pytest.raises(ValueError, match="takes no statistics over whole images"):
        Restorer({"rain": drn}, ["rain"], local)


def test_images_between_two_passes_are_not_kept():
    """Of an order of any length, but where all steps are asked for."""
    seen, alive = [], []

    class Watching(nn.Module):
        def forward(self, image):
            seen.append(weakref.ref(image))
            alive.append(sum(other() is not None for other in seen))
            return image / 2

    restorer = Restorer(dict.fromkeys("abcde", Watching()), list("abcde"))
    assert restorer.restore(torch.ones(1, 3, 8, 8), ()).unique() == 2**-5
    assert max(alive) <= 3  # what was given, the one before, and its own
    assert len(restorer.restore_steps(torch.ones(1, 3, 8, 8), ())) == 5
