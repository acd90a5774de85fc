"""The ConvLSTM cell of the rain branch."""

import torch
from torch import Tensor, nn

from restore_lightning.networks.layers import conv


class ConvLSTM(nn.Module):
    """A convolutional LSTM cell (paper 2, A.2.1, after PReNet).

    Input and hidden state are concatenated in this order; each of the four gates is one 3x3
    reflect convolution. The four are computed by one call on the stacked weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = conv(2 * channels, 4 * channels)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """One step: x (B, C, H, W) and (hidden, cell) or None for zeros -> the new (hidden, cell)."""
        hidden, cell = state if state is not None else (torch.zeros_like(x), torch.zeros_like(x))
        i, f, g, o = self.gates(torch.cat([x, hidden], dim=1)).chunk(4, dim=1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell
