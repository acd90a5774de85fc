"""Procedural clean images with depth: dead leaves with textures, the embedded training data.

A scene is painted back to front, so that occlusion, the power law of sizes and the sharp edges of
natural images are there (dead-leaves model), and every point has a depth: haze gets a real
transmission map.
"""

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter

from restore_lightning.data.sources.base import CleanImage
from restore_lightning.degradations.haze import FARTHEST
from restore_lightning.io.pixel_windows import Window
from restore_lightning.seeding import derive, generator

NEAREST = 1.0


def scene(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Paint a scene.

    Args:
        height: In pixels.
        width: In pixels.
        seed: Of everything in it.

    Returns:
        Image (H, W, 3) uint8 and depth (H, W) float32, 1 to 10 metres.
    """
    rng = generator(seed, "scene")
    palette = _palette(rng)
    noise = _noise_fields(rng, height, width)
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    image, depth = _background(rng, palette, rows, noise)
    size = max(height, width)
    for near in np.sort(rng.uniform(size=rng.integers(6, 40))):
        radius = size * 0.5 * (1 - rng.uniform() * 0.998) ** 2 * (0.25 + 0.75 * near) * 0.8 + 2
        _paint_leaf(rng, image, depth, rows, columns, noise, palette, radius, FARTHEST - (FARTHEST - NEAREST) * near)
    softness = rng.uniform(0.4, 1.2)  # a lens: no photograph has the staircase edges of a mask
    image = gaussian_filter(image, (softness, softness, 0))
    exposure = rng.uniform(0.8, 1.25)
    image = np.clip(image, 0, 1) ** exposure
    return (image * 255 + 0.5).astype(np.uint8), depth


def _palette(rng: np.random.Generator) -> np.ndarray:
    """Six colours that go together: shared light, varied brightness, mostly low saturation. (6, 3)."""
    brightness = rng.beta(1.3, 1.6, size=(6, 1))
    tint = rng.normal(0, 1, size=(6, 3))
    tint -= tint.mean(axis=1, keepdims=True)
    saturation = rng.gamma(1.2, 0.06, size=(6, 1))
    light = 1 + rng.normal(0, 0.06, size=(1, 3))
    return np.clip((brightness + saturation * tint) * light, 0.01, 1).astype(np.float32)


def _noise_fields(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Three textures with spectra 1/f^a, a in 0.9 to 2.2, standard deviation 1. (3, H, W)."""
    frequency = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    spectrum = fft.rfft2(rng.standard_normal((3, height, width)).astype(np.float32))
    exponents = rng.uniform(0.9, 2.2, size=(3, 1, 1))
    spectrum *= np.exp((-exponents * np.log(frequency)).astype(np.float32))
    spectrum[:, 0, 0] = 0  # the mean
    fields = fft.irfft2(spectrum, s=(height, width))
    return fields / (fields.std(axis=(1, 2), keepdims=True) + np.float32(1e-9))


def _background(
    rng: np.random.Generator, palette: np.ndarray, rows: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sky above, ground that comes nearer below: image (H, W, 3) and depth (H, W), float32."""
    height, width = noise.shape[1:]
    horizon = rng.uniform(-0.3, 1.2) * height
    ground = rows > horizon
    near = np.clip((rows - horizon) / (height * 1.2), 0, 1) ** 0.7
    depth = np.where(ground, FARTHEST - (FARTHEST - NEAREST) * 0.8 * near, FARTHEST).astype(np.float32)
    sky = np.clip(palette[rng.integers(6)] * rng.uniform(0.8, 1.6), 0, 1)
    colours = np.where(ground, palette[rng.integers(6)], sky).astype(np.float32)
    colours = colours * (1 + 0.3 * (rows / height - 0.5) * rng.normal())
    strength = np.where(ground, rng.uniform(0.02, 0.15), rng.uniform(0, 0.04)).astype(np.float32)
    image = colours[:, None].astype(np.float32) + (strength * noise[0])[..., None]
    return image, np.repeat(depth, width, axis=1)


def _paint_leaf(
    rng: np.random.Generator,
    image: np.ndarray,
    depth: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    noise: np.ndarray,
    palette: np.ndarray,
    radius: float,
    distance: float,
) -> None:
    """Paint one textured leaf into image and depth."""
    height, width = depth.shape
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    stretch = rng.uniform(0.25, 1)
    top, bottom = max(0, int(y - radius)), min(height, int(y + radius) + 2)
    left, right = max(0, int(x - radius)), min(width, int(x + radius) + 2)
    if top >= bottom or left >= right:
        return
    box = (slice(top, bottom), slice(left, right))
    angle = rng.uniform(0, 2 * np.pi)
    # In float64: a leaf's edge must not move by rounding.
    dy, dx = rows[top:bottom] - y, columns[:, left:right] - x
    u = np.cos(angle) / radius * dx + np.sin(angle) / radius * dy
    v = np.cos(angle) / (radius * stretch) * dy - np.sin(angle) / (radius * stretch) * dx
    mask = u * u + v * v < 1 if rng.uniform() < 0.5 else (abs(u) < 0.75) & (abs(v) < 0.75)
    colour = palette[rng.integers(6)] + rng.normal(0, 0.05, 3)
    value = 1 + rng.normal(0, 0.25) * u + rng.normal(0, 0.15) * v
    texture = rng.choice(4, p=(0.45, 0.35, 0.1, 0.1))
    if texture == 1:
        value = value + rng.uniform(0.02, 0.2) * noise[rng.integers(3)][box]
    elif texture == 2:
        waves = np.sin(u * rng.uniform(4, 0.6 * radius + 5) + rng.uniform(0, 6)) * rng.uniform(0.03, 0.25)
        value = value + (np.sign(waves) * abs(waves).max() if rng.uniform() < 0.4 else waves)
    elif texture == 3:
        cells = np.sign(np.sin(u * rng.uniform(3, 0.4 * radius + 4)) * np.sin(v * rng.uniform(3, 0.4 * radius + 4)))
        value = value + rng.uniform(0.03, 0.25) * cells + 0.03 * noise[rng.integers(3)][box]
    painted = colour.astype(np.float32) * value[mask].astype(np.float32)[:, None]
    image[box][mask] = np.clip(painted, 0, 1.1, out=painted)
    tilt = distance + rng.normal(0, 0.3) * u[mask]
    depth[box][mask] = np.clip(tilt, NEAREST, FARTHEST)


class CleanScenes:
    """Procedural scenes: every crop is a new one."""

    images: int | None = None

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[CleanImage, Window]:
        """See `CleanSource`."""
        side = size + 2 * margin
        image, depth = scene(side, side, derive(seed, "scene", number))
        return CleanImage.of_arrays(image, depth), Window(margin, margin, size, size)
