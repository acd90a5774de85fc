from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from restore_lightning.networks import PromptIR, parameters
from restore_lightning.networks.promptir import Prompt
from restore_lightning.networks.transformer import TransformerBlock

SMALL = {
    "width": 8,
    "blocks": (1, 1, 1, 1),
    "refinement": 1,
    "heads": (1, 2, 2, 4),
    "prompts": 3,
    "prompt_channels": (4, 8, 12),
    "prompt_sizes": (8, 4, 2),
    "prompt_heads": 4,
}


def test_parameters_are_those_of_the_released_one_that_are_used():
    with torch.device("meta"):
        assert parameters(PromptIR()) == 35_376_967 == 35_592_263 - 215_296


def test_sizes():
    """The declared sizes are measured: all of them work, and no other does."""
    network = PromptIR(**SMALL)
    assert (network.info.sizes.multiple, network.info.sizes.minimum) == (8, 8)
    for size in range(1, 25):
        image = torch.rand(2, 3, size, 16)
        if size % 8 == 0:
            assert network(image).shape == image.shape
        else:
            with pytest.raises(RuntimeError):
                network(image)


def bilinear(image, height, width):
    """(C, S, S) -> (C, height, width) by NumPy: pixels are areas, no antialiasing, borders repeated."""
    for axis, target in ((1, height), (2, width)):
        source = image.shape[axis]
        centres = np.maximum((np.arange(target) + 0.5) * source / target - 0.5, 0)
        low = np.floor(centres).astype(int)
        high = np.minimum(low + 1, source - 1)
        shape = [1, 1, 1]
        shape[axis] = target
        part = (centres - low).reshape(shape)
        image = np.take(image, low, axis) * (1 - part) + np.take(image, high, axis) * part
    return image


@pytest.mark.parametrize("size", [(6, 6), (8, 4), (3, 13)])
def test_a_prompt_by_numpy(size):
    torch.manual_seed(0)
    block = partial(TransformerBlock, heads=2, expansion=2.0, bias=False, layer_norm="WithBias")
    prompt = Prompt(inputs=4, outputs=5, count=3, channels=2, size=6, block=block, bias=False).double()
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    weight, bias = (parameter.detach().numpy() for parameter in prompt.weights.parameters())
    components = prompt.components.detach().numpy()[0]
    with torch.no_grad():
        found = prompt(x)
        for image, result in zip(x, found, strict=True):
            scores = np.exp(weight @ image.numpy().mean(axis=(1, 2)) + bias)
            mixed = np.einsum("n,nchw->chw", scores / scores.sum(), components)
            resized = prompt.conv(torch.from_numpy(bilinear(mixed, *size))[None])
            expected = prompt.reduce(prompt.block(torch.cat([image[None], resized], dim=1)))[0]
            np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


def test_prompts_start_uniformly():
    components = PromptIR(**SMALL).unet.prompts[0].components
    assert 0 <= float(components.min()) < 0.1
    assert 0.9 < float(components.max()) < 1


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_reach_every_parameter(bias):
    torch.manual_seed(0)
    network = PromptIR(**SMALL, bias=bias)
    network(torch.rand(1, 3, 16, 24)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_global_skip():
    network = PromptIR(**SMALL, image_channels=1)
    nn.init.zeros_(network.output.weight)
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(network(image), image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    torch.manual_seed(0)
    network = PromptIR(**SMALL).eval()
    image = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        exact = network(image)
        half = network.to(dtype)
        assert half(image.to(dtype)).dtype == dtype
        torch.testing.assert_close(half(image.to(dtype)).float(), exact, rtol=0, atol=0.05)
        assert half(torch.zeros_like(image).to(dtype)).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 9, "prompt_heads": 1}, "width=9: an even number"),
        ({"prompts": 0}, "prompts=0: a whole number, at least 1"),
        ({"image_channels": 0}, "image_channels=0: a whole number, at least 1"),
        ({"prompt_channels": (4, 8)}, r"prompt_channels=\[4, 8\]: give 3 numbers, each at least 1"),
        ({"prompt_sizes": (4, 0, 2)}, r"prompt_sizes=\[4, 0, 2\]: give 3 numbers"),
        ({"prompt_heads": 3}, "heads=3: a divisor of the level's 20 channels"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        PromptIR(**SMALL | arguments)
