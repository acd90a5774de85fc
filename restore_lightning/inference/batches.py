"""How many images, or tiles of one, a network restores at once."""

import torch

CPU_PIXELS = 2**16
"""Of a batch on a CPU: 16 images of 64x64, one of 256x256. Larger ones gain nothing by company there."""
GPU_PIXELS = 2**20
"""Of a batch on a GPU: 16 images of 256x256, one of 1024x1024."""


def batch_size(device: torch.device | str, height: int, width: int) -> int:
    """How many images of a size to restore at once, at least 1; the memory of a batch is that of one larger image.

    >>> batch_size("cuda", 512, 256), batch_size("cuda", 4000, 3000), batch_size("cpu", 128, 128)
    (8, 1, 4)

    Args:
        device: That the network is on.
        height: Of the images (pixels).
        width: Of the images (pixels).
    """
    pixels = CPU_PIXELS if torch.device(device).type == "cpu" else GPU_PIXELS
    return max(1, pixels // (height * width))
