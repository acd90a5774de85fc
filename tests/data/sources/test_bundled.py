"""scikit-image's photographs."""

import subprocess
import sys

import numpy as np
from skimage import data

from restore_lightning.data.sources.bundled import PHOTOGRAPHS, bundled_photograph


def test_the_photographs_are_scikit_images():
    assert not set(PHOTOGRAPHS["val"]) & set(PHOTOGRAPHS["test"])
    for name in ("coffee", "rocket", "astronaut", "chelsea"):
        image, depth = bundled_photograph(name)
        assert np.array_equal(image, getattr(data, name)())
        assert depth is None


def test_the_motorcycles_depth_follows_its_disparity():
    image, depth = bundled_photograph("motorcycle")
    left, _, disparity = data.stereo_motorcycle()
    assert np.array_equal(image, left)
    known = np.isfinite(disparity)
    # Middlebury's calibration of this scene: baseline 193.001 mm, focal length 994.978 pixels, offset 31.086 pixels.
    assert np.allclose(depth[known] * (disparity[known] + 31.086), 994.978 * 0.193001)
    assert np.isfinite(depth).all()


def test_their_name_is_known_without_torch():
    script = "import sys; from restore_lightning.data.sources.bundled import BUNDLED; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
