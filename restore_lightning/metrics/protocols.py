"""How the papers compute their scores: colour, quantisation, SSIM window, always one value per image."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from restore_lightning.errors import UserError
from restore_lightning.metrics.functional import Window, psnr, ssim

Colour = Literal["rgb", "y_opencv", "y_matlab"]


@dataclass(frozen=True)
class Protocol:
    """A way to score a restored image against the clean one.

    Args:
        name: As users write it.
        colour: "rgb"; "y_opencv": full-range BT.601 luma rounded to 8 bits; "y_matlab": BT.601
            luma in 16 to 235, not rounded. One-channel images stay as they are.
        window: The SSIM's window.
        quantise: How numbers become 8 bits: cut off as the authors' `astype(uint8)` does, or rounded.
        shaves: As many pixels as images were enlarged by are cut off at each border.
        scale: How many times larger than the network's input the images are.
    """

    name: str
    colour: Colour
    window: Window
    quantise: Literal["floor", "round"] = "floor"
    shaves: bool = False
    scale: int = 1

    def psnr(self, restored: Tensor, clean: Tensor) -> Tensor:
        """PSNR in dB of (B, C, H, W) in [0, 1]: (B,)."""
        return psnr(self._prepare(restored), self._prepare(clean))

    def ssim(self, restored: Tensor, clean: Tensor) -> Tensor:
        """SSIM of (B, C, H, W) in [0, 1]: (B,)."""
        return ssim(self._prepare(restored), self._prepare(clean), self.window)

    def _prepare(self, image: Tensor) -> Tensor:
        """To 0..255 in 8 bits, then the colour, then without the border."""
        # 1e-3 keeps k/255 at k, which single precision may put a hair below.
        image = (image.double().clamp(0, 1) * 255 + (1e-3 if self.quantise == "floor" else 0.5)).floor()
        if self.shaves and self.scale > 1:
            image = image[..., self.scale : -self.scale, self.scale : -self.scale]
        if self.colour == "rgb" or image.shape[1] == 1:
            return image
        return COLOURS[self.colour](image)


def y_opencv(image: Tensor) -> Tensor:
    """(B, 3, H, W) in 0..255 -> OpenCV's 8-bit luma (B, 1, H, W), in its fixed-point arithmetic."""
    weights = torch.tensor([4899, 9617, 1868], dtype=image.dtype, device=image.device)
    return ((_weigh(image, weights) + 8192) / 16384).floor()


def y_matlab(image: Tensor) -> Tensor:
    """(B, 3, H, W) in 0..255 -> MATLAB's `rgb2ycbcr` luma (B, 1, H, W), in 16..235."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=image.dtype, device=image.device)
    return 16 + _weigh(image, weights) / 255


def _weigh(image: Tensor, weights: Tensor) -> Tensor:
    return (image * weights[:, None, None]).sum(dim=1, keepdim=True)


COLOURS = {"y_opencv": y_opencv, "y_matlab": y_matlab}

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("durn-rgb", "rgb", "skimage"),  # paper 1: real noise, motion blur, haze
        Protocol("durn-y", "y_opencv", "skimage"),  # paper 1: rain, raindrop; paper 2: blur, rain, JPEG
        Protocol("durn-gray", "y_opencv", "skimage"),  # paper 1: Gaussian noise, on gray images
        Protocol("mbn-rgb", "rgb", "skimage"),  # paper 2: haze and table 4
        Protocol("matlab-y", "y_matlab", "matlab"),  # paper 4 and most deraining papers
        Protocol("sr-y", "y_matlab", "matlab", quantise="round", shaves=True),  # paper 3: super-resolution
        Protocol("din-rgb", "rgb", "matlab"),  # paper 3: blur, haze
        Protocol("din-y", "y_matlab", "matlab"),  # paper 3: rain
    )
}


def protocol(name: str, scale: int = 1) -> Protocol:
    """The protocol of a name.

    Args:
        name: One of `PROTOCOLS`.
        scale: How many times larger than the network's input the images are; "sr-y" cuts as many pixels off at
            each border.

    >>> protocol("matlab-y").colour
    'y_matlab'

    Raises:
        UserError: No such protocol.
    """
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return replace(PROTOCOLS[name], scale=scale)
