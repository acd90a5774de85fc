"""Rectangles of pixels."""

from typing import NamedTuple

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


def whole_multiple(image: Tensor, pixels: int) -> Window:
    """The window of (..., H, W) without the last rows and columns that exceed a multiple of so many pixels.

    Raises:
        UserError: Nothing would be left.
    """
    height, width = image.shape[-2:]
    if min(height, width) < pixels:
        raise UserError(f"an image of {width}x{height} pixels cannot be cut to multiples of {pixels} pixels: remove it")
    return Window(0, 0, height - height % pixels, width - width % pixels)
