"""CDD-11's four factors: what makes each what it is, their order, and what they do to photographs."""

import numpy as np
import pytest
import torch
from skimage import data

from restore_lightning.degradations import (
    CDD11,
    LowLight,
    Mixture,
    Noise,
    RelativeHaze,
    Snow,
    cdd11,
    flakes,
    gaussian_noise,
    haze,
    illumination,
    low_light,
    rain,
    snow,
    stand_in_depth,
    streaks,
)
from restore_lightning.degradations.haze import relative_distance
from restore_lightning.degradations.mixture import cdd11_factors
from restore_lightning.io.images import from_array, to_float, to_uint8
from restore_lightning.seeding import generator


@pytest.fixture(scope="module")
def photo():
    return to_float(from_array(data.chelsea()[:160, :200]))


@pytest.fixture(scope="module")
def depth():
    return stand_in_depth(160, 200, seed=0)


def test_illumination_is_a_guided_filter(photo):
    """Of the brightest channel by the gray image, in float64 with OpenCV's box means."""
    import cv2

    array = photo.double().numpy()
    gray, bright = array.mean(0), array.max(0)

    def mean(values):
        return cv2.blur(values, (15, 15), borderType=cv2.BORDER_REPLICATE)

    slope = (mean(gray * bright) - mean(gray) * mean(bright)) / (mean(gray * gray) - mean(gray) ** 2 + 0.01)
    offset = mean(bright) - slope * mean(gray)
    # OpenCV continues the maps of slope and offset beyond the border, as we do.
    expected = np.clip(mean(slope) * gray + mean(offset), 0.01, 1)
    np.testing.assert_allclose(illumination(photo.double())[0].numpy(), expected, atol=1e-9)


def test_low_light_darkens_most_where_it_is_dark(photo):
    light = illumination(photo)
    dark = low_light(photo, power=3, sigma=0, seed=0)
    torch.testing.assert_close(dark, photo * light**2)
    assert bool((dark <= photo).all())
    ratio = dark / photo.clamp_min(1e-3)
    assert ratio[:, light[0] > 0.7].mean() > 2 * ratio[:, light[0] < 0.4].mean()
    noise = low_light(torch.full((3, 80, 80), 0.6), 2, 10, 0) - 0.36
    assert float(noise.std()) * 255 == pytest.approx(10, rel=0.05)


def test_a_crop_with_margin_is_the_whole_image_darkened(photo):
    margin = LowLight().margin
    whole = photo * illumination(photo)
    part = photo[:, 40 - margin : 80 + margin, 50 - margin : 90 + margin]
    inner = slice(margin, margin + 40)
    torch.testing.assert_close((part * illumination(part))[:, inner, inner], whole[:, 40:80, 50:90])


def test_snow_is_white_and_only_brightens(photo):
    mask = flakes(160, 200, density=45, radius=2.2, angle=90, seed=1)
    assert mask.shape == (160, 200)
    assert 0 <= mask.min() <= mask.max() <= 1
    torch.testing.assert_close(snow(photo, 45, 2.2, 90, 1), photo * (1 - mask) + mask)
    covered = [
        float((flakes(300, 300, d, r, 90, 0) > 0.1).double().mean()) for d, r in ((15, 1.2), (45, 1.2), (45, 2.2))
    ]
    assert covered == sorted(covered)
    assert 0.002 < covered[0] < covered[-1] < 0.3


def test_flakes_fall_along_their_angle():
    down, across = (flakes(200, 200, 60, 2.2, angle, 3) for angle in (90, 0))

    def longer(mask):
        """How much more alike neighbours below each other are than those beside each other, two pixels apart."""
        mask = mask - mask.mean()
        return float((mask[2:] * mask[:-2]).mean() - (mask[:, 2:] * mask[:, :-2]).mean())

    assert longer(down) > 0 > longer(across)


def test_relative_haze(photo, depth):
    """t = exp(-beta min(d, 0.7)), d smoothed over 22x22 pixels."""
    distance = relative_distance(depth)
    assert distance.min() >= 0
    assert distance.max() == pytest.approx(0.7)
    torch.testing.assert_close(distance, relative_distance(100 * depth + 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        RelativeHaze().apply(photo, depth, airlight=0.8, beta=1.5), haze(photo, distance, 0.8, 1.5)
    )


def test_parameters_come_from_cdd11s_ranges():
    rng = np.random.default_rng(0)
    drawn = {name: [factor.draw(rng) for _ in range(300)] for name, factor in cdd11_factors().items()}
    for name, key, low, high in (
        ("low", "power", 2, 3),
        ("low", "sigma", 0.03 * 255, 0.08 * 255),
        ("haze", "beta", 1, 2),
        ("haze", "airlight", 0.6, 0.9),
    ):
        values = [parameters[key] for parameters in drawn[name]]
        spread = high - low
        assert low <= min(values) < low + 0.1 * spread
        assert high - 0.1 * spread < max(values) <= high


def test_the_order_of_synthesis(photo, depth):
    """Low light, rain that is added, snow or haze."""
    mixture = cdd11()
    parameters = mixture.draw_of(["haze", "rain", "low"], generator(5))
    assert list(parameters) == ["low", "rain", "haze"]
    low, streak = parameters["low"], parameters["rain"]
    expected = low_light(photo, **low) + streaks(160, 200, **streak)
    assert rain(photo.clamp_min(0.9), **streak, blend="add").max() > 1  # before haze or 8 bits
    torch.testing.assert_close(rain(low_light(photo, **low), **streak, blend="add"), expected)
    expected = haze(expected, relative_distance(depth), **parameters["haze"]).clamp(0, 1)
    assert torch.equal(mixture.apply(photo, depth, **parameters), expected)


def test_the_eleven_are_equally_likely():
    assert len(CDD11) == 11
    draws = [cdd11().draw(generator(0, number)) for number in range(2200)]
    counts = {name: sum(set(draw) == set(name.split("_")) for draw in draws) for name in CDD11}
    assert sum(counts.values()) == len(draws)
    assert all(abs(count - 200) < 5 * np.sqrt(200) for count in counts.values())


def test_combinations_of_what_there_is_not():
    with pytest.raises(ValueError, match=r"Mixture\.combinations: fog: join names of snow by _"):
        Mixture({"snow": Snow()}, ["snow_fog"])
    with pytest.raises(ValueError, match=r"Mixture\.combinations: none"):
        Mixture({"snow": Snow()}, [])


def test_truncated_noise_is_half_a_level_darker(photo):
    parameters = Noise().draw(generator(0)) | {"sigma": 5.0}
    gray = torch.full((3, 100, 100), 128 / 255)
    by_level = {levels: 255 * gaussian_noise(gray, **parameters, levels=levels) for levels in ("truncated", "rounded")}
    for values in by_level.values():
        torch.testing.assert_close(values, values.round(), atol=1e-3, rtol=0)
    assert float((by_level["rounded"] - by_level["truncated"]).mean()) == pytest.approx(0.5, abs=0.02)
    nothing = gaussian_noise(photo, 0, 0, "truncated")
    assert torch.equal(to_uint8(nothing), to_uint8(photo))
    assert not Noise(levels="clipped").quantised
    with pytest.raises(ValueError, match=r"Noise.levels floor: give one of rounded, truncated, clipped, free"):
        Noise(levels="floor")
    with pytest.raises(ValueError, match="give none below 0"):
        Noise(sigmas=(-1,))
