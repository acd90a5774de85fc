"""How many images, or tiles of one, a network restores at once."""

import torch

GPU_PIXELS = 2**20
"""Pixels of a batch on a GPU, which small images leave idle: 16 images of 256x256, one of 1024x1024."""


def batch_size(device: torch.device | str, height: int, width: int) -> int:
    """How many images of a size to restore at once, at least 1.

    On a CPU one: there each further image takes as long as the first, and its memory.

    >>> batch_size("cuda", 512, 256), batch_size("cuda", 4000, 3000), batch_size("cpu", 64, 64)
    (8, 1, 1)

    Args:
        device: That the network is on.
        height: Of the images (pixels).
        width: Of the images (pixels).
    """
    return 1 if torch.device(device).type == "cpu" else max(1, GPU_PIXELS // (height * width))
