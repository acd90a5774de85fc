"""Rectangles of pixels."""

from typing import Literal, NamedTuple

from torch import Tensor

from restore_lightning.errors import UserError


class Window(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: Tensor) -> Tensor:
        """This part of (..., H, W)."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def with_margin(self, margin: int, height: int, width: int) -> tuple["Window", "Window"]:
        """The window with a margin of pixels, where an image of this size has them, and where it lies in that."""
        up, before = min(margin, self.top), min(margin, self.left)
        outer = Window(
            self.top - up,
            self.left - before,
            up + self.height + min(margin, height - self.top - self.height),
            before + self.width + min(margin, width - self.left - self.width),
        )
        return outer, Window(up, before, self.height, self.width)

    def enlarged(self, scale: int) -> "Window":
        """The same part of an image whose sides are `scale` times as long."""
        return Window(*(scale * pixels for pixels in self))


Keep = Literal["top-left", "centre"]
"""Which part of an image is kept where it is cut."""


def whole_multiple(image: Tensor, pixels: int, keep: Keep = "top-left") -> Window:
    """The largest window of (..., H, W) whose sides are multiples of so many pixels.

    Args:
        image: The image.
        pixels: That sides shall be a multiple of.
        keep: "top-left": what exceeds is cut off at the right and the bottom. "centre": half of it, rounded down, at
            the left and the top.

    Raises:
        UserError: Nothing would be left.
    """
    height, width = image.shape[-2:]
    if min(height, width) < pixels:
        raise UserError(f"an image of {width}x{height} pixels cannot be cut to multiples of {pixels} pixels: remove it")
    top, left = (height % pixels // 2, width % pixels // 2) if keep == "centre" else (0, 0)
    return Window(top, left, height - height % pixels, width - width % pixels)
