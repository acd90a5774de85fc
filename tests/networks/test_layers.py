import torch

from restore_lightning.networks.convlstm import ConvLSTM
from restore_lightning.networks.layers import conv, downsample, upsample


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
