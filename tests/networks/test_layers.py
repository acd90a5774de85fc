import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from restore_lightning.losses import ssim_l1
from restore_lightning.networks import MBN
from restore_lightning.networks.convlstm import ConvLSTM
from restore_lightning.networks.layers import conv, downsample, reflect_pad, upsample, upsample_image

RESAMPLING = [(downsample, 0.5), (upsample_image, 2.0)]


def bicubic(image, scale):
    return functional.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)


def test_reflect_convolution_keeps_the_size():
    x = torch.rand(1, 2, 12, 9)
    for kernel, dilation in ((1, 1), (3, 2), (7, 1), (5, 2)):
        layer = conv(2, 4, kernel, dilation=dilation)
        padding = dilation * (kernel - 1) // 2
        padded = torch.nn.functional.pad(x, [padding] * 4, mode="reflect")
        expected = torch.nn.functional.conv2d(padded, layer.weight, layer.bias, dilation=dilation)
        torch.testing.assert_close(layer(x), expected)
        assert layer(x).shape[2:] == x.shape[2:]


def test_upsample_doubles():
    assert upsample(6, 4)(torch.rand(1, 6, 5, 7)).shape == (1, 4, 10, 14)


def test_convlstm_is_the_textbook_cell():
    cell = ConvLSTM(3)
    x, hidden, memory = (torch.randn(1, 3, 6, 6) for _ in range(3))
    weights, biases = cell.gates.weight.chunk(4), cell.gates.bias.chunk(4)
    padded = torch.nn.functional.pad(torch.cat([x, hidden], 1), [1] * 4, mode="reflect")
    i, f, g, o = (torch.nn.functional.conv2d(padded, w, b) for w, b in zip(weights, biases, strict=True))
    expected = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
    new_hidden, new_memory = cell(x, (hidden, memory))
    torch.testing.assert_close(new_memory, expected)
    torch.testing.assert_close(new_hidden, torch.sigmoid(o) * torch.tanh(expected))


def test_convlstm_starts_at_zero():
    cell = ConvLSTM(2)
    x = torch.randn(1, 2, 4, 4)
    zeros = torch.zeros_like(x)
    for mine, explicit in zip(cell(x, None), cell(x, (zeros, zeros)), strict=True):
        torch.testing.assert_close(mine, explicit)


def test_pyramid_step_has_no_antialiasing():
    # Bicubic (a = -0.75) at half a pixel: weights -0.09375, 0.59375, 0.59375, -0.09375 in each direction.
    row = torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0])
    assert downsample(row.expand(1, 1, 8, 8))[0, 0, 0].tolist() == [-0.09375, 0.59375, 0.0, 0.0]


@pytest.mark.parametrize(("resample", "scale"), RESAMPLING)
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (4, 9), (33, 16)])
def test_resampling_is_bicubic(resample, scale, size):
    image = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    result, expected = resample(image), bicubic(image, scale)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-14)
    weights = torch.rand_like(result)
    mine, theirs = (torch.autograd.grad(one, image, weights)[0] for one in (result, expected))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-14)
    single = resample(image.detach().float().to(memory_format=torch.channels_last))
    torch.testing.assert_close(single.double(), expected.detach(), rtol=0, atol=5e-7)


@pytest.mark.parametrize(("resample", "scale"), RESAMPLING)
def test_images_are_never_resampled_in_half_precision(resample, scale):
    image = torch.rand(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(resample(image), bicubic(image, scale))
    half = image.half()
    assert torch.equal(resample(half), resample(half.float()).half())


def test_resampling_can_be_exported_for_any_even_size():
    class Resampling(torch.nn.Module):
        def forward(self, image):
            return upsample_image(downsample(image))

    sides = {dim: 2 * torch.export.Dim(f"side{dim}", min=2, max=64) for dim in (2, 3)}
    exported = torch.export.export(Resampling(), (torch.rand(1, 3, 8, 8),), dynamic_shapes=(sides,))
    image = torch.rand(1, 3, 6, 10)
    assert torch.equal(exported.module()(image), upsample_image(downsample(image)))


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(("size", "pad"), [((8, 8), 5), ((9, 7), 6), ((2, 2), 1), ((5, 3), 1), ((12, 9), 2)])
def test_reflection(size, pad):
    x = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    padded = reflect_pad(x, pad)
    expected = np.pad(x.detach().numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
    assert np.array_equal(padded.detach().numpy(), expected)
    assert torch.autograd.gradcheck(lambda one: reflect_pad(one, pad), x)


def test_padding_keeps_half_precision():
    x = torch.rand(1, 2, 6, 6).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert reflect_pad(x, 2).dtype == torch.bfloat16


class Operations(TorchDispatchMode):
    """Notes each operation with its tensors, those of backward passes too."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(
            (func.__name__.partition(".")[0], [a for a in tree_leaves(args) if isinstance(a, torch.Tensor)])
        )
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def training_step():
    """Operations of a step of each kind of branch pair at the default crop, on a device without values."""
    torch.use_deterministic_algorithms(True)
    network = MBN(["rain", "blur", "haze"], width=2, stem=[(11, 5, 1)], extra=[(3, 3, 1)] * 2).to("meta")
    image = torch.rand(2, 3, 64, 64, device="meta")
    with Operations() as operations:
        for factor in network.info.factors:
            torch.stack([ssim_l1(out, torch.rand_like(out)) for out in network(image, factor)]).sum().backward()
    torch.use_deterministic_algorithms(False)
    return operations.seen


def test_a_step_has_deterministic_gradients_on_cuda(training_step):
    """Those of interpolation and replication have none there, reflection's are wrong where a map is narrow."""
    names = {name for name, _ in training_step}
    assert "reflection_pad2d_backward" in names  # backward passes are seen
    assert not names & {"upsample_bicubic2d_backward", "replication_pad2d_backward"}
    for name, tensors in training_step:
        if name == "reflection_pad2d_backward":
            gradient, x = tensors
            assert x.shape[3] > gradient.shape[3] - x.shape[3] + 1


def test_a_step_copies_nothing_to_the_device(training_step):
    """A constant that is made on the CPU costs a wait in each call."""
    assert all(tensor.device.type == "meta" for _, tensors in training_step for tensor in tensors)


def test_reflect_convolutions_keep_torchs_names_and_first_weights():
    torch.manual_seed(0)
    ours = conv(2, 3, 5, stride=2, dilation=2)
    torch.manual_seed(0)
    torchs = torch.nn.Conv2d(2, 3, 5, 2, 4, 2, padding_mode="reflect")
    torchs.load_state_dict(ours.state_dict())
    x = torch.rand(1, 2, 11, 14)
    assert torch.equal(ours(x), torchs(x))


GRADIENTS = """
import torch
from restore_lightning.networks.layers import conv, to_channels_last

torch.set_num_threads(2)
for kernel, stride, dilation, zeros in ((7, 1, 2, False), (3, 1, 2, True), (5, 1, 3, False), (1, 2, 1, False)):
    for channels in (12, 24):
        layer = conv(channels, 16, kernel, stride, dilation=dilation, zeros=zeros)
        to_channels_last(layer)
        for _ in range(30):
            x = torch.randn(2, channels, 32, 32).contiguous(memory_format=torch.channels_last)
            expected = torch.autograd.grad(layer(x).square().mean(), layer.weight)[0]
            with torch.autocast("cpu", torch.bfloat16):
                y = layer(x)
            found = torch.autograd.grad(y.float().square().mean(), layer.weight)[0]
            assert y.is_contiguous(memory_format=torch.channels_last)
            assert (found - expected).abs().max() <= 0.05 * expected.abs().max(), (kernel, dilation, channels)
"""


def test_kernels_that_skip_positions_have_gradients_in_half_precision():
    """In a process of its own, which torch's gradients of such kernels may end."""
    done = subprocess.run([sys.executable, "-c", GRADIENTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
