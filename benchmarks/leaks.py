"""How many changed copies of photographs `restore shards leaks` finds, and how many distinct ones it takes for one.

    python benchmarks/leaks.py FOLDER

The photographs below FOLDER are parted by name, in turn: the first, third, ... are trained on; of every fourth of those
one copy per kind is tested, and the second, fourth, ... are tested as they are. One JSON object on standard output.
"""

import io
import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from restore_lightning.data.leaks.images import ImageEntry, images_of
from restore_lightning.data.leaks.search import find_leaks

FLIP, QUARTER = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image as a JPEG file of a quality shows it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def resized(image: Image.Image, scale: float) -> Image.Image:
    """Bicubic, antialiased."""
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, side: int) -> Image.Image:
    """A square off the grid of JPEG's blocks."""
    left, top = ((extent - side) * 3 // 5 | 1 for extent in image.size)
    return image.crop((left, top, left + side, top + side))


def top_left(image: Image.Image) -> Image.Image:
    """480x320, as Rain100H and Rain100L are."""
    return image.crop((0, 0, *((480, 320) if image.width > image.height else (320, 480))))


KINDS = {
    "same pixels": lambda image: image,
    "top left 480x320": top_left,
    "top left, flipped": lambda image: top_left(image).transpose(FLIP),
    "crop 240, turned by 90 degrees": lambda image: cropped(image, 240).transpose(QUARTER),
    "crop 160": lambda image: cropped(image, 160),
    "crop 128": lambda image: cropped(image, 128),
    "crop 96": lambda image: cropped(image, 96),
    "crop 64": lambda image: cropped(image, 64),
    "JPEG 95": lambda image: jpeg(image, 95),
    "JPEG 50": lambda image: jpeg(image, 50),
    "JPEG 20": lambda image: jpeg(image, 20),
    "resized 0.9": lambda image: resized(image, 0.9),
    "resized 0.7, JPEG 75": lambda image: jpeg(resized(image, 0.7), 75),
    "resized 0.5, JPEG 50": lambda image: jpeg(resized(image, 0.5), 50),
    "resized 2": lambda image: resized(image, 2),
    "crop 240, resized 0.7, JPEG 75, flipped": lambda image: jpeg(resized(cropped(image, 240), 0.7), 75).transpose(
        FLIP
    ),
    "resized 0.33": lambda image: resized(image, 0.33),
}


def changed(entry: ImageEntry, kind: str) -> np.ndarray:
    """A copy of an image."""
    return np.asarray(KINDS[kind](Image.fromarray(entry.read())))


def main(folder: str) -> dict[str, object]:
    """Search for all kinds at once."""
    entries = images_of([Path(folder)], training=True).entries
    train, others = entries[::2], entries[1::2]
    test = [
        ImageEntry(f"{kind}|{entry.name}", partial(changed, entry, kind), entry.size)
        for kind in KINDS
        for entry in train[::4]
    ]
    test += [ImageEntry(f"another|{entry.name}", entry.read, entry.size) for entry in others]
    begun = time.perf_counter()
    leaks = find_leaks(train, test, workers=2)
    took = time.perf_counter() - begun
    right = {pair.test for pair in leaks.pairs if pair.test.partition("|")[2] == pair.train}
    return {
        "training images": len(train),
        "copies": {
            kind: f"{sum(name.startswith(f'{kind}|') for name in right)} of {len(train[::4])}" for kind in KINDS
        },
        "distinct photographs": len(others),
        "false pairs": [
            f"{pair.test} = {pair.train}: {pair.kind}, {pair.found.correlation:.3f}"
            for pair in leaks.pairs
            if pair.test.partition("|")[2] != pair.train
        ],
        "seconds": round(took, 1),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]), indent=2))
