"""The pictures of the report page: shrunk and cropped at once, coded as data URIs within a budget of bytes."""

import base64
import io
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from restore_lightning.io.images import to_array

LOSSLESS = 100
"""As a quality."""
CROP = 64
"""Side of the enlarged region (pixels)."""
THUMBNAIL = 96
STRIP = 512


class Level(NamedTuple):
    """How pictures are coded."""

    side: int
    """The longest one, at most (pixels)."""
    quality: int
    """WebP's."""


LEVELS = (
    Level(1600, LOSSLESS),
    Level(1600, 90),
    Level(1280, 85),
    Level(1024, 80),
    Level(800, 80),
    Level(640, 75),
    Level(480, 70),
    Level(320, 60),
    Level(200, 50),
)
"""The best first; each takes fewer bytes than the one before."""


class StepImage(NamedTuple):
    """An image after a recurrent step."""

    factor: str
    """What it removes."""
    image: Tensor
    """(3, H, W) uint8."""
    psnr: float | None = None
    """In dB."""


class Version(NamedTuple):
    """A version of an image that the page can show."""

    label: str
    view: Image.Image
    """The whole, at most as large as the first of `LEVELS`."""
    crop: Image.Image
    """The enlarged region, pixel by pixel."""
    psnr: float | None
    """In dB."""
    factor: str | None
    """What the step that made it removes."""


class Picture(NamedTuple):
    """An image chosen for the page; `make_picture` makes it."""

    set: str
    name: str
    why: str
    """Why it was chosen, e.g. "largest loss"."""
    scores: Mapping[str, Mapping[str, float]]
    """{version: {"psnr", "ssim"}}."""
    size: tuple[int, int]
    """Height and width of the image (pixels)."""
    region: tuple[int, int, int, int]
    """Top, left, height and width of the enlarged region (pixels)."""
    versions: Sequence[Version]
    """Degraded, after each step, restored, clean."""


class CodedPicture(NamedTuple):
    """A picture as data URIs."""

    picture: Picture
    size: tuple[int, int]
    """Height and width of the views (pixels)."""
    quality: int
    """WebP's, or `LOSSLESS`."""
    thumbnail: str
    """Left half degraded, right half restored."""
    views: Sequence[str]
    crops: Sequence[str]
    """Lossless."""

    @property
    def characters(self) -> int:
        """Of all data URIs."""
        return len(self.thumbnail) + sum(map(len, [*self.views, *self.crops]))


def make_picture(
    set_name: str,
    name: str,
    why: str,
    scores: Mapping[str, Mapping[str, float]],
    degraded: Tensor,
    restored: Tensor,
    clean: Tensor,
    steps: Sequence[StepImage] = (),
) -> Picture:
    """Keep of an image what the page shows; no version larger than the first of `LEVELS`.

    Args:
        set_name: The set it is from.
        name: Its name in the set.
        why: Why it was chosen.
        scores: {"degraded": {"psnr", "ssim"}, "restored": ..., ...}.
        degraded: (3, H, W) uint8.
        restored: (3, H, W) uint8.
        clean: (3, H, W) uint8.
        steps: The recurrent steps in order; the last one is the result.

    Raises:
        ValueError: The versions differ in size.
    """
    psnr = {version: entry["psnr"] for version, entry in scores.items()}
    versions: list[tuple[str, Tensor, float | None, str | None]] = [("degraded", degraded, psnr.get("degraded"), None)]
    versions += [(f"after {step.factor}", step.image, step.psnr, step.factor) for step in steps[:-1]]
    versions += [("restored", restored, psnr.get("restored"), steps[-1].factor if steps else None)]
    versions += [("clean", clean, None, None)]
    for label, image, *_ in versions:
        if image.shape != clean.shape:
            raise ValueError(f"{set_name}, {name}: {label} is {tuple(image.shape)}, clean is {tuple(clean.shape)}")
    top, left, height, width = region = _most_different(degraded, clean)
    return Picture(
        set_name,
        name,
        why,
        scores,
        (clean.shape[1], clean.shape[2]),
        region,
        [
            Version(
                label,
                shrunk(Image.fromarray(to_array(image)), LEVELS[0].side),
                Image.fromarray(to_array(image[:, top : top + height, left : left + width])),
                score,
                factor,
            )
            for label, image, score, factor in versions
        ],
    )


def side_by_side(chosen: Picture) -> Image.Image:
    """The versions of a picture side by side, each at most `STRIP` pixels wide and high."""
    views = [shrunk(version.view, STRIP) for version in chosen.versions]
    joined = Image.new("RGB", (sum(view.width for view in views), views[0].height))
    for place, view in enumerate(views):
        joined.paste(view, (place * view.width, 0))
    return joined


def coded_within(pictures: Sequence[Picture], budget: int) -> list[CodedPicture]:
    """Code pictures so that their data URIs have at most `budget` characters together.

    Each has an equal share of what is left, in the best of `LEVELS` that fits in it. One that is too large in the
    least of them takes from the shares of those after it; the last ones are dropped when nothing is left.
    """
    done: list[CodedPicture] = []
    for index, chosen in enumerate(pictures):
        coded = _coded(chosen, budget // (len(pictures) - index))
        if coded.characters > budget:
            break
        budget -= coded.characters
        done.append(coded)
    return done


def _coded(chosen: Picture, share: int) -> CodedPicture:
    crops = [data_uri(version.crop, LOSSLESS) for version in chosen.versions]
    thumbnail = data_uri(_thumbnail(chosen), 60)
    share -= len(thumbnail) + sum(map(len, crops))

    @cache
    def views(level: Level) -> list[str]:
        return _views(chosen, level, share if level != LEVELS[-1] else math.inf)

    def fits(level: Level) -> bool:
        return len(views(level)) == len(chosen.versions)

    least, most = 0, len(LEVELS) - 1
    pixels = sum(version.view.width * version.view.height for version in chosen.versions)
    if share > pixels // 2:  # then one of the two best mostly fits, and less is coded than by beginning in the middle
        least, most = (0, 1) if fits(LEVELS[1]) else (2, most)
    level = LEVELS[bisect_left(LEVELS, True, least, most, key=fits)]
    width, height = shrunk(chosen.versions[0].view, level.side).size
    return CodedPicture(chosen, (height, width), level.quality, thumbnail, views(level), crops)


def _views(chosen: Picture, level: Level, most: float) -> list[str]:
    """The versions as data URIs, as many as have `most` characters together."""
    views: list[str] = []
    for version in chosen.versions:
        view = data_uri(shrunk(version.view, level.side), level.quality)
        most -= len(view)
        if most < 0:
            break
        views.append(view)
    return views


def _thumbnail(chosen: Picture) -> Image.Image:
    degraded, restored = (shrunk(chosen.versions[index].view, THUMBNAIL) for index in (0, -2))
    half = degraded.width // 2
    degraded.paste(restored.crop((half, 0, *restored.size)), (half, 0))
    return degraded


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """A copy whose longest side is at most `side`."""
    smaller = image.copy()
    smaller.thumbnail((side, side))
    return smaller


def data_uri(image: Image.Image, quality: int) -> str:
    """An image as WebP in an address of its own."""
    buffer = io.BytesIO()
    if quality == LOSSLESS:
        image.save(buffer, "WEBP", lossless=True, quality=0)  # here the quality is the effort
    else:
        image.save(buffer, "WEBP", quality=quality, method=2)  # twice as fast as the default, a few percent larger
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _most_different(degraded: Tensor, clean: Tensor) -> tuple[int, int, int, int]:
    """Top, left, height and width of the region with the largest mean squared difference."""
    height, width = (min(CROP, size) for size in clean.shape[1:])
    difference = torch.zeros(clean.shape[1:])
    for one, other in zip(degraded, clean, strict=True):  # by channel: a third of the memory
        difference += (one.float() - other.float()).square_()
    stride = CROP // 4
    means = avg_pool2d(difference[None, None], (height, width), stride)[0, 0]
    row, column = divmod(int(means.argmax()), means.shape[1])
    return row * stride, column * stride, height, width
