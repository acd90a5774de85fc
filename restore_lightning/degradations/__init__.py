"""Degradations on the fly: (clean image, seed) -> degraded image, the same bytes for the same seed."""

from collections.abc import Callable
from functools import partial

from restore_lightning.degradations.base import Degradation
from restore_lightning.degradations.blur import Blur, motion_blur, motion_kernel
from restore_lightning.degradations.downscale import Downscale
from restore_lightning.degradations.haze import (
    STAND_IN_RANGE,
    Haze,
    RelativeHaze,
    haze,
    stand_in_depth,
    transmission,
)
from restore_lightning.degradations.jpeg import Jpeg, jpeg, jpeg_bytes
from restore_lightning.degradations.low_light import LowLight, illumination, low_light
from restore_lightning.degradations.mixture import CDD11, Mixture, cdd11
from restore_lightning.degradations.noise import Noise, gaussian_noise
from restore_lightning.degradations.rain import Rain, rain, streaks
from restore_lightning.degradations.raindrop import Raindrop, raindrops
from restore_lightning.degradations.snow import Snow, flakes, snow

DEGRADATIONS: dict[str, Callable[[], Degradation]] = {
    "rain": Rain,
    "blur": Blur,
    "jpeg": Jpeg,
    "haze": Haze,
    "noise": Noise,
    "raindrop": Raindrop,
    "downscale": Downscale,
    "low": LowLight,
    "snow": Snow,
    "mixed": Mixture,
    "cdd11": cdd11,
    **{name: partial(cdd11, name) for name in CDD11 if "_" in name},
}
"""The degradation that a factor of this name gets unless its config names another."""

__all__ = [
    "CDD11",
    "DEGRADATIONS",
    "STAND_IN_RANGE",
    "Blur",
    "Degradation",
    "Downscale",
    "Haze",
    "Jpeg",
    "LowLight",
    "Mixture",
    "Noise",
    "Rain",
    "Raindrop",
    "RelativeHaze",
    "Snow",
    "cdd11",
    "flakes",
    "gaussian_noise",
    "haze",
    "illumination",
    "jpeg",
    "jpeg_bytes",
    "low_light",
    "motion_blur",
    "motion_kernel",
    "rain",
    "raindrops",
    "snow",
    "stand_in_depth",
    "streaks",
    "transmission",
]
