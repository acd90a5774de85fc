"""Degradations on the fly: (clean image, seed) -> degraded image, the same bytes for the same seed."""

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.blur import Blur, motion_blur, motion_kernel
from restore_lightning.degradations.downscale import Downscale
from restore_lightning.degradations.haze import Haze, haze, stand_in_depth, transmission
from restore_lightning.degradations.jpeg import Jpeg, jpeg, jpeg_bytes
from restore_lightning.degradations.mixture import Mixture
from restore_lightning.degradations.noise import Noise, gaussian_noise
from restore_lightning.degradations.rain import Rain, rain, streaks
from restore_lightning.degradations.raindrop import Raindrop, raindrops

DEGRADATIONS: dict[str, type[Degradation]] = {
    "rain": Rain,
    "blur": Blur,
    "jpeg": Jpeg,
    "haze": Haze,
    "noise": Noise,
    "raindrop": Raindrop,
    "downscale": Downscale,
    "mixed": Mixture,
}
"""The degradation that a factor of this name gets unless its config names another."""

__all__ = [
    "DEGRADATIONS",
    "Blur",
    "Degradation",
    "Downscale",
    "Haze",
    "Jpeg",
    "Mixture",
    "Noise",
    "Rain",
    "Raindrop",
    "gaussian_noise",
    "haze",
    "jpeg",
    "jpeg_bytes",
    "motion_blur",
    "motion_kernel",
    "rain",
    "raindrops",
    "stand_in_depth",
    "streaks",
    "transmission",
]
