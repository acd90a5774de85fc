"""An exported program beside the network that it was exported from, on real photographs."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from restore_lightning.data.sources.bundled import bundled_photograph
from restore_lightning.export.description import Description, Precision
from restore_lightning.inference import Restorer
from restore_lightning.io.images import to_float
from restore_lightning.networks import SizeRule

TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "fp16": 0.02, "bf16": 0.1}
"""Largest difference from PyTorch in float32 that is accepted; images are in [0, 1]."""
PHOTOGRAPHS = {"coffee": (52, 85), "chelsea": (77, 130), "astronaut": (121, 66)}
"""Name -> height and width of the part to restore, at the least (pixels); odd, and no two alike."""


def differences(
    program: Callable[[Tensor], Tensor], restorer: Restorer, described: Description
) -> Iterator[tuple[tuple[int, int], float]]:
    """Restore photographs of three sizes by a program and by PyTorch in float32.

    Args:
        program: (B, C, H, W) -> (B, C, scale * H, scale * W).
        restorer: What it was exported from.
        described: What it says of itself. One that pads gets sizes that need it.

    Yields:
        Height and width, and the largest difference; infinity where a result is of another size, or no number.
    """
    rule = SizeRule(described.multiple, described.minimum)
    for name, least in PHOTOGRAPHS.items():
        height, width = (rule.padded(side) + (1 if described.padded else 0) for side in least)
        photograph = torch.from_numpy(bundled_photograph(name)[0]).movedim(-1, 0)
        channels = torch.arange(described.channels) % len(photograph)
        image = to_float(photograph[channels, 40 : 40 + height, 90 : 90 + width].contiguous()[None])
        with torch.no_grad():
            expected, found = restorer.restore(image, ()), program(image).clamp(0, 1)
        difference = float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
        yield (height, width), difference if difference == difference else float("inf")
