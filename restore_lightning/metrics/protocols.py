"""How the papers compute their scores: colour, quantisation, SSIM window, always one value per image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from restore_lightning.errors import UserError, did_you_mean
from restore_lightning.io.arrays import Array, as_float64, namespace, where_float64_is
from restore_lightning.io.colour import y_coded, y_matlab, y_opencv
from restore_lightning.metrics.functional import SSIMWindow, psnr, ssim

Colour = Literal["rgb", "y_opencv", "y_matlab", "y_coded"]


@dataclass(frozen=True)
class Protocol:
    """A way to score a restored image against the clean one.

    Images are tensors, or NumPy arrays, of shape (B, C, H, W) with one channel or three: floating point in [0, 1], or
    uint8 as files hold them. A NaN makes its image's scores NaN.

    Args:
        name: As users write it.
        colour: "rgb"; "y_opencv": full-range BT.601 luma rounded to 8 bits; "y_matlab": BT.601 luma in 16 to 235, not
            rounded; "y_coded": the same rounded to 8 bits, as it is coded as a gray JPEG. One-channel images stay as
            they are; for "y_coded" those with three equal channels, too, which gray files are read as.
        window: The SSIM's window.
        quantise: How numbers become 8 bits: cut off as the authors' `astype(uint8)` does, or rounded. "none": they do
            not, each is scored as it is.
        clips: Numbers are clipped to [0, 1] first.
        shaves: As many pixels as images were enlarged by are cut off at each border.
        scale: How many times larger than the network's input the images are.
    """

    name: str
    colour: Colour
    window: SSIMWindow
    quantise: Literal["floor", "round", "none"] = "floor"
    clips: bool = True
    shaves: bool = False
    scale: int = 1

    def psnr(self, restored: Array, clean: Array) -> Array:
        """PSNR in dB: (B,) float64, infinite where both are equal; refuses as `scores`."""
        return psnr(*self._prepared(restored, clean))

    def ssim(self, restored: Array, clean: Array) -> Array:
        """SSIM: (B,) float64; refuses as `scores`."""
        return ssim(*self._prepared(restored, clean), self.window)

    def scores(self, restored: Array, clean: Array) -> dict[str, Array]:
        """{"psnr", "ssim"}, sooner than one after the other.

        Raises:
            ValueError: Images of unequal shape, smaller than the SSIM's window, of other than one or three channels, or
                of another type.
        """
        images = self._prepared(restored, clean)
        return {"psnr": psnr(*images), "ssim": ssim(*images, self.window)}

    def _prepared(self, restored: Array, clean: Array) -> tuple[Array, Array]:
        for image in (restored, clean):
            if len(image.shape) != 4 or image.shape[1] not in (1, 3):
                raise ValueError(f"images of shape {tuple(image.shape)}: give (B, C, H, W) with 1 or 3 channels")
            if not str(image.dtype).removeprefix("torch.").startswith(("float", "bfloat", "uint8")):
                raise ValueError(f"images of {image.dtype}: give floating point in [0, 1], or uint8")
        # Luma that was coded as gray may be compared with the colours it came from, other gray images may not.
        kept = (0, 2, 3) if self.colour == "y_coded" else (0, 1, 2, 3)
        if any(restored.shape[axis] != clean.shape[axis] for axis in kept):
            raise ValueError(f"restored {tuple(restored.shape)}, clean {tuple(clean.shape)}: shapes must agree")
        border = 2 * self.scale if self.shaves else 0
        if min(clean.shape[2:]) <= border:
            raise ValueError(f"{self.name} leaves nothing of an image of {clean.shape[2]}x{clean.shape[3]} pixels")
        return self._prepare(restored), self._prepare(clean)

    def _prepare(self, image: Array) -> Array:
        """To 0..255, then without the border, then the colour."""
        image = where_float64_is(image)
        xp = namespace(image)
        if image.dtype != xp.uint8:
            # Keeps k/255 at k, which single precision may put up to 2e-5 below, half precision 64 eps: 0.06.
            below = max(1e-4, 64 * float(xp.finfo(image.dtype).eps)) if self.quantise == "floor" else 0.5
            image = as_float64(image)
            image = 255 * (xp.clip(image, 0, 1) if self.clips else image)
            if self.quantise != "none":
                image = xp.floor(image + below)
        if self.shaves and self.scale > 1:
            image = image[..., self.scale : -self.scale, self.scale : -self.scale]
        if self.colour == "rgb" or image.shape[1] == 1:
            return image
        return COLOURS[self.colour](image)


COLOURS = {"y_opencv": y_opencv, "y_matlab": y_matlab, "y_coded": y_coded}

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
        Protocol("jpeg-gray", "y_coded", "matlab", quantise="round"),  # paper 2, table 3: dedicated JPEG networks
        # All-in-one restoration: AirNet, PromptIR, AdaIR, DFPIR, IDR, and on 8-bit files OneRestore
        Protocol("aio-rgb", "rgb", "skimage", quantise="none"),
        Protocol("moce-rgb", "rgb", "skimage-gaussian", quantise="none"),  # MoCE-IR
        Protocol("instructir-rgb", "rgb", "matlab", quantise="none", clips=False),  # InstructIR
        Protocol("dcpt-rgb", "rgb", "matlab", quantise="round"),  # DCPT
        Protocol("nafnet-3d", "rgb", "cube", quantise="round"),  # NAFNet on GoPro
    )
}
"""Name -> how it scores."""


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
        near = "; several are a list, [a, b]" if "," in name else did_you_mean(name, PROTOCOLS)
        raise UserError(f"unknown protocol {name!r}: choose one of {', '.join(PROTOCOLS)}{near}")
    return replace(PROTOCOLS[name], scale=scale)


def protocols(names: str | Sequence[str], scale: int = 1) -> tuple[Protocol, ...]:
    """The protocols of one name or several, in their order.

    Args:
        names: Of `PROTOCOLS`.
        scale: As in `protocol`.

    Raises:
        UserError: No name, one that is unknown, or one twice.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise UserError(f"no protocol is named: give some of {', '.join(PROTOCOLS)}")
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserError(f"protocol {name!r} is named twice: name each once")
    return tuple(protocol(name, scale) for name in names)
