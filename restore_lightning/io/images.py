"""Images as tensors: reading, writing, colours, and the step between bytes and numbers in [0, 1]."""

from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restore_lightning.io.colour import y_coded, y_matlab
from restore_lightning.io.image_files import Photo, read_array
from restore_lightning.io.photo_writing import with_pixels, write_photo

Colour = Literal["rgb", "gray", "y"]


def to_float(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 0..255 or uint16 0..65535 -> a float type in [0, 1]; what is float already stays as it is."""
    return image if image.is_floating_point() else image.to(dtype).div_(torch.iinfo(image.dtype).max)


def to_uint8(image: Tensor) -> Tensor:
    """Float in [0, 1] (clamped) -> uint8, rounded."""
    return to_integers(image, torch.uint8)


def to_integers(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Float in [0, 1] (clamped) -> uint8 or uint16, rounded."""
    return image.clamp(0, 1).mul_(torch.iinfo(dtype).max).round_().to(dtype)


def from_array(array: np.ndarray) -> Tensor:
    """(H, W, 3) or gray (H, W) uint8 array -> (3, H, W) or (1, H, W) uint8 tensor."""
    return torch.from_numpy(np.array(np.atleast_3d(array).transpose(2, 0, 1), order="C"))  # a copy: files are read-only


def to_array(image: Tensor) -> np.ndarray:
    """(3, H, W) or (1, H, W) uint8 tensor -> (H, W, 3) or (H, W) uint8 array."""
    array = image.permute(1, 2, 0).contiguous().cpu().numpy()
    return array[:, :, 0] if array.shape[2] == 1 else array


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bicubic resampling of (C, H, W) uint8 by Pillow, antialiased where it shrinks: MATLAB's imresize, nearly."""
    return from_array(np.asarray(Image.fromarray(to_array(image)).resize((width, height), Image.Resampling.BICUBIC)))


def enlarged(images: Tensor, like: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] at the size of `like`: bicubic, in 8 bits, where it differs."""
    if images.shape[-2:] == like.shape[-2:]:
        return images
    resized = [resize(to_uint8(image).cpu(), *like.shape[-2:]) for image in images]
    return to_float(torch.stack(resized)).to(images.device)


def in_colour(image: Tensor, colour: Colour) -> Tensor:
    """An image in the colours that a network is trained on.

    Args:
        image: (3, H, W), uint8 or float in [0, 1]; (1, H, W) stays as it is.
        colour: "rgb": as it is. "gray": its luma, BT.601, full range; of uint8 rounded, by Pillow. "y": MATLAB's luma
            in 16..235, of uint8 rounded; images whose channels are equal keep one of them.

    Returns:
        (3, H, W), or (1, H, W) of the luma.
    """
    if colour == "rgb" or len(image) == 1:
        return image
    if colour == "y":
        if image.is_floating_point():
            return image[:1] if bool((image == image[:1]).all()) else y_matlab(image[None] * 255)[0] / 255
        return y_coded(image[None].double())[0].to(torch.uint8)
    if image.is_floating_point():
        return (image * image.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    return from_array(np.asarray(Image.fromarray(to_array(image)).convert("L")))


def read_image(path: str | Path | BinaryIO, name: str | None = None) -> Tensor:
    """An image file as (3, H, W) uint8; see `read_array`."""
    return from_array(read_array(path, name))


def write_image(image: Tensor, path: Path) -> None:
    """Write a (3, H, W) or (1, H, W) uint8 image in the format of the suffix; appears whole or not at all."""
    write_photo(Photo(np.atleast_3d(to_array(image))), path)


def photo_tensor(photo: Photo) -> Tensor:
    """The pixels of a photo, (3, H, W) uint8 or uint16; of a gray one three equal channels."""
    pixels = photo.pixels.repeat(3, axis=2) if photo.gray else photo.pixels
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))  # a copy: files are read-only


def photo_with(photo: Photo, image: Tensor) -> Photo:
    """What a photo carries, with the pixels of an image.

    Args:
        photo: The photo.
        image: (3, H, W) or (1, H, W), uint8 or uint16; for a gray photo its luma is taken.
    """
    if photo.gray:
        image = to_integers(in_colour(to_float(image), "gray"), image.dtype)
    return with_pixels(photo, np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))


def size_of(images: Tensor) -> str:
    """Channels x height x width of (B, C, H, W), for messages."""
    return "x".join(map(str, images.shape[1:]))
