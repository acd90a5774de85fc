"""Folders that are scored, and scores that were written."""

import numpy as np
import pytest
from PIL import Image
from skimage import data


@pytest.fixture
def images(tmp_path):
    """Two folders: photographs of different sizes, one in a subfolder, and noisy ones under the same names."""
    rng = np.random.default_rng(0)
    for name, image in (("b", data.coffee()[:90, :111]), ("a", data.chelsea()[:91, :120]), ("c/d", data.rocket()[:99])):
        noisy = (image + rng.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)
        for folder, pixels in (("clean", image), ("noisy", noisy)):
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path


def read(path):
    return np.asarray(Image.open(path))


def by_columns(rows):
    return {row["name"]: [float(row["psnr"]), float(row["ssim"])] for row in rows}
