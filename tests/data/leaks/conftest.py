"""Photographs to train on, and copies of some."""

import io

import pytest
from PIL import Image
from skimage import data


@pytest.fixture(scope="session")
def pictures():
    """Name -> a photograph of some 300x260 pixels."""
    images = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    return {name: Image.fromarray(image[40:300, 20:320]) for name, image in images.items()}


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def smaller(image, scale):
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def train(pictures, tmp_path_factory):
    """A folder of three of them."""
    folder = tmp_path_factory.mktemp("train")
    for name in ("astronaut", "chelsea", "coffee"):
        pictures[name].save(folder / f"{name}.png")
    return folder
