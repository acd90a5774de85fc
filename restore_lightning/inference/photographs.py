"""Photographs restored as whole numbers: what `restore apply` and `restore demo` do to each."""

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

from restore_lightning.errors import UserError
from restore_lightning.hardware import allow_tf32
from restore_lightning.inference.restorer import Restorer
from restore_lightning.io.images import to_float, to_integers

ROWS = 1024
"""Of an image that become whole numbers at once."""


class PhotoRestorer:
    """A restorer on a device, for images of 8 and 16 bits.

    Args:
        restorer: Whose networks are moved to the device.
        device: Its name; None: CUDA where there is one, else the CPU.
        precision: "auto": bfloat16 where the networks compute well in it and the device fast, else float32.

    Raises:
        UserError: A device that cannot be used.
    """

    def __init__(
        self, restorer: Restorer, device: str | None = None, precision: Literal["auto", "bf16", "float32"] = "auto"
    ) -> None:
        self.restorer = restorer
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.device = torch.device(device or self.device)
            restorer.to(self.device)
        except (RuntimeError, AssertionError) as error:  # torch says both of devices it cannot use
            raise UserError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from error
        stated = {"bf16": torch.bfloat16, "float32": torch.float32}.get(precision)
        self.asked = precision
        self.precision = stated or restorer.precision(self.device)
        self.tiles = restorer.settings.tile is not None
        # In tiles an image is not sent to the device as a whole.
        self.home = torch.device("cpu") if self.tiles else self.device

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 or uint16 -> the same, restored; larger for super-resolution."""
        # Neither bfloat16 nor TF32 tells 16 bits apart: only where it is asked for.
        deep = images.dtype == torch.uint16
        half = self.precision != torch.float32 and (not deep or self.asked == "bf16")
        allow_tf32(self.device, not deep and self.asked != "float32")
        images = images.pin_memory() if self.home.type == "cuda" else images  # so that the copy does not wait for it
        with torch.autocast(self.device.type, self.precision) if half else nullcontext():
            # Whole on a GPU, or as whole numbers of which each tile becomes float.
            given = images if self.tiles else to_float(images.to(self.home, non_blocking=True))
            result = self.restorer.restore(given, ())
        # By rows, so that there is no second float image.
        return torch.cat([to_integers(rows, images.dtype) for rows in torch.split(result, ROWS, dim=-2)], dim=-2)
