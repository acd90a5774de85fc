"""Test images that are in the training data, beside these, as one HTML page that needs nothing else."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from restore_lightning.data.leaks.search import LeakPair, Leaks
from restore_lightning.errors import UserError
from restore_lightning.reports.page import MOST_PICTURE_BYTES, environment
from restore_lightning.reports.pictures import data_uri, shrunk

SIDE, QUALITY = 360, 70
"""Longest side of a picture (pixels), and WebP's quality."""
FRAME = (255, 0, 0)
"""Colour of the frame around the test image in the training image."""


class _Shown(NamedTuple):
    """A pair, and its pictures as data URIs: the test image, the training image with a frame around the same part."""

    pair: LeakPair
    test: str
    train: str


def render_leaks(leaks: Leaks, read: Mapping[str, Callable[[], np.ndarray]], summary: str) -> str:
    """The page's HTML: less than 10 MB, with neither network nor other files.

    Args:
        leaks: What was found.
        read: What reads an image, by its name.
        summary: All of it in a line.
    """
    shown: list[_Shown] = []
    left = MOST_PICTURE_BYTES
    for pair in leaks.pairs:
        try:
            images = _pictures(pair, read)
        except UserError:  # gone since
            continue
        one = _Shown(pair, *(data_uri(shrunk(image, SIDE), QUALITY) for image in images))
        left -= len(one.test) + len(one.train)
        if left < 0:
            break
        shown.append(one)
    template = environment().get_template("leaks.html")
    return template.render(leaks=leaks, shown=shown, summary=summary)


def _pictures(pair: LeakPair, read: Mapping[str, Callable[[], np.ndarray]]) -> tuple[Image.Image, Image.Image]:
    """The test image, and the training image, turned as the test image is, with a frame."""
    turned = np.array(pair.turn.of(read[pair.train]()))
    top, left, height, width = pair.found.box
    rows = np.clip(np.rint([top, top + height]).astype(int), 0, turned.shape[0])
    columns = np.clip(np.rint([left, left + width]).astype(int), 0, turned.shape[1])
    thick = max(1, max(turned.shape) // 150)
    part = turned[slice(*rows), slice(*columns)]
    for edge in (part[:thick], part[-thick:], part[:, :thick], part[:, -thick:]):
        edge[...] = FRAME
    return Image.fromarray(read[pair.test]()), Image.fromarray(turned)
