import numpy as np
import pytest

from restore_lightning.data.sources.scenes import scene


def test_seeded():
    for one, other in zip(scene(40, 50, 3), scene(40, 50, 3), strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(scene(40, 50, 3)[0], scene(40, 50, 4)[0])


@pytest.mark.parametrize(("height", "width"), [(64, 64), (1, 1), (37, 90)])
def test_types_and_ranges(height, width):
    image, depth = scene(height, width, 0)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert depth.shape == (height, width)
    assert depth.dtype == np.float32
    assert 1 <= depth.min() <= depth.max() <= 10


def test_scenes_look_like_images():
    """Varied brightness, edges where depth jumps, gradients with heavy tails as in photographs."""
    images, depths = zip(*(scene(96, 96, seed) for seed in range(30)), strict=True)
    gray = np.stack(images).mean(axis=3) / 255
    assert 0.25 < gray.mean() < 0.65
    assert gray.mean(axis=(1, 2)).std() > 0.08
    gradient = np.abs(np.diff(gray, axis=2))
    kurtosis = ((gradient**4).mean() / (gradient**2).mean() ** 2).item()
    assert kurtosis > 10  # Gaussian noise: 3
    jumps = np.abs(np.diff(np.stack(depths), axis=2)) > 1
    assert gradient[jumps].mean() > 3 * gradient[~jumps].mean()
