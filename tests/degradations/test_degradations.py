"""The statistics that make each degradation what it is, on real photographs."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.degradations import (
    DEGRADATIONS,
    Blur,
    Downscale,
    Haze,
    Jpeg,
    Mixture,
    Noise,
    Rain,
    Raindrop,
    gaussian_noise,
    haze,
    jpeg,
    jpeg_bytes,
    motion_blur,
    motion_kernel,
    rain,
    stand_in_depth,
    streaks,
    transmission,
)
from restore_lightning.io.images import from_array, to_float, to_uint8


@pytest.fixture(scope="module")
def photo():
    return to_float(from_array(data.chelsea()[:160, :200]))


@pytest.fixture(scope="module")
def depth():
    return stand_in_depth(160, 200, seed=0)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_same_seed_same_bytes(name, photo, depth):
    degradation = DEGRADATIONS[name]()
    first, again, other = (to_uint8(degradation(photo, seed, depth)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "downscale")  # bicubic: nothing is random
    assert first.shape == (3, *(side // degradation.scale for side in photo.shape[1:]))


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_input_is_left_alone_and_the_result_is_an_image(name, photo, depth):
    before = photo.clone()
    result = DEGRADATIONS[name]()(photo, 0, depth)
    assert torch.equal(photo, before)
    assert result.dtype == photo.dtype
    assert 0 <= result.min() <= result.max() <= 1


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_number_of_threads_changes_nothing(name, photo, depth):
    """Images that are scored are degraded in the main process or in workers, which have one thread."""
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append(DEGRADATIONS[name]()(photo, 3, depth))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("quality", [10, 15, 50])
def test_jpeg_bytes_are_pillows(photo, quality):
    array = data.chelsea()[:160, :200]
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    assert jpeg_bytes(from_array(array), quality) == buffer.getvalue()
    decoded = np.asarray(Image.open(buffer))
    assert np.array_equal(to_uint8(jpeg(photo, quality)).numpy(), decoded.transpose(2, 0, 1))


def test_haze_inverts_where_t_is_known(photo, depth):
    photo, depth = photo.double(), depth.double()
    hazy = haze(photo, depth, airlight=0.9, beta=0.2)
    t = transmission(depth, 0.2)
    torch.testing.assert_close((hazy - 0.9 * (1 - t)) / t, photo, rtol=0, atol=1e-12)
    assert hazy.std() < photo.std()


def test_haze_needs_depth(photo):
    with pytest.raises(ValueError, match="depth"):
        Haze()(photo, 0)


def test_stand_in_depth_is_in_metres_and_recedes_upwards():
    depths = torch.stack([stand_in_depth(60, 80, seed) for seed in range(20)])
    assert depths.min() >= 1
    assert depths.max() <= 10.0001
    rows = depths.mean(dim=(0, 2))
    assert rows[:10].mean() > rows[-10:].mean() + 2


@pytest.mark.parametrize(("radius", "sigma"), Blur().kernels)
@pytest.mark.parametrize("angle", [-45, -10.5, 0, 30, 45])
def test_motion_kernel_is_a_normalised_half_gaussian_along_a_line(radius, sigma, angle):
    kernel = motion_kernel(radius, sigma, angle)
    assert kernel.sum().item() == pytest.approx(1)
    rows, columns = kernel.nonzero(as_tuple=True)
    dy, dx = rows - 2 * radius, columns - 2 * radius
    across = dx * np.sin(np.radians(angle)) - dy * np.cos(np.radians(angle))
    assert across.abs().max() < 0.75  # within the pixel nearest to the line
    assert bool((dx >= 0).all())  # half: it only goes forward
    along = torch.hypot(dx.double(), dy.double())
    taps = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    mean = (taps * np.arange(2 * radius + 1)).sum() / taps.sum()
    assert (kernel[rows, columns] * along).sum().item() == pytest.approx(mean, abs=0.3)
    if angle == 0:
        torch.testing.assert_close(kernel[2 * radius, 2 * radius :], torch.from_numpy(taps / taps.sum()))


def test_blur_is_imagenet_cs_sum_of_shifted_images(photo):
    """Hendrycks and Dietterich's way: shift the image step by step along the line and add."""
    radius, sigma, angle = 13, 8, 33.0
    array = np.pad(photo.double().numpy(), ((0, 0), (30, 30), (30, 30)), mode="edge")
    taps = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    expected = np.zeros_like(array)
    for i, weight in enumerate(taps / taps.sum()):
        dy = -int(np.ceil(i * np.sin(np.radians(angle)) - 0.5))
        dx = -int(np.ceil(i * np.cos(np.radians(angle)) - 0.5))
        expected += weight * np.roll(array, (dy, dx), axis=(1, 2))
    blurred = motion_blur(photo.double(), radius, sigma, angle).numpy()
    np.testing.assert_allclose(blurred, expected[:, 30:-30, 30:-30], atol=1e-9)


def test_blur_is_opencvs_correlation(photo):
    kernel = motion_kernel(12, 3.5, 20).numpy()
    array = photo.permute(1, 2, 0).numpy().astype(np.float64)
    expected = cv2.filter2D(array, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    blurred = motion_blur(photo.double(), 12, 3.5, 20).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(blurred, expected, atol=1e-7)


def test_blur_keeps_the_mean(photo):
    flat = torch.full((3, 50, 60), 0.3)
    torch.testing.assert_close(motion_blur(flat, 15, 12, 30), flat)
    assert motion_blur(photo, 15, 12, 30).mean().item() == pytest.approx(photo.mean().item(), abs=0.01)
    assert motion_blur(photo, 15, 12, 30).std() < photo.std()


def test_a_crop_with_margin_is_the_whole_image_blurred(photo):
    """What makes on-the-fly crops equal to crops of a degraded image."""
    whole = motion_blur(photo, 15, 12, -40)
    margin = Blur().margin
    top, left, size = 50, 60, 40
    around = photo[:, top - margin : top + size + margin, left - margin : left + size + margin]
    part = motion_blur(around, 15, 12, -40)[:, margin : margin + size, margin : margin + size]
    torch.testing.assert_close(part, whole[:, top : top + size, left : left + size], rtol=0, atol=1e-6)


@pytest.mark.parametrize("angle", [70, 90, 110])
def test_rain_only_brightens(photo, angle):
    rainy = rain(photo, level=0.7, length=20, angle=angle, seed=1)
    assert bool((rainy >= photo).all())
    assert rainy.mean() > photo.mean() + 0.01
    assert rainy.max() <= 1


@pytest.mark.parametrize(("angle", "slant"), [(90, 0), (70, 1), (110, -1)])
def test_streaks_run_along_their_angle(angle, slant):
    """90 degrees falls straight down; 70 degrees leans to the right on its way up."""
    layer = streaks(200, 200, level=0.7, length=35, angle=angle, seed=0).numpy()
    layer = layer - layer.mean()
    dy = 12
    correlations = {dx: (layer[dy:, 20:-20] * np.roll(layer, dx, 1)[:-dy, 20:-20]).mean() for dx in range(-8, 9)}
    best = max(correlations, key=correlations.get)
    expected = -slant * dy / np.tan(np.radians(70))
    assert best == pytest.approx(expected, abs=1.1)


def test_noise_has_its_standard_deviation():
    gray = torch.full((3, 200, 200), 0.5)
    noisy = gaussian_noise(gray, sigma=30, seed=0)
    assert ((noisy - gray).std() * 255).item() == pytest.approx(30, rel=0.01)
    assert noisy.mean().item() == pytest.approx(0.5, abs=0.002)


def test_parameters_come_from_the_sets_of_appendix_c():
    rng = np.random.default_rng(0)
    drawn = {name: [kind().draw(rng) for _ in range(400)] for name, kind in DEGRADATIONS.items()}
    assert {p["quality"] for p in drawn["jpeg"]} == set(range(15, 51))
    assert {(p["radius"], p["sigma"]) for p in drawn["blur"]} == {
        (10, 1.5),
        (10, 2.5),
        (12, 3),
        (12, 3.5),
        (13, 8),
        (15, 12),
    }
    assert all(-45 <= p["angle"] <= 45 for p in drawn["blur"])
    assert {p["level"] for p in drawn["rain"]} == {0.55, 0.65, 0.7, 0.8}
    assert {p["length"] for p in drawn["rain"]} == {10, 20, 35, 50}
    assert {p["angle"] for p in drawn["rain"]} == {110, 105, 100, 90, 85, 80, 70}
    assert {p["airlight"] for p in drawn["haze"]} == {1, 0.95, 0.9, 0.8, 0.85}
    assert {p["beta"] for p in drawn["haze"]} == {0.2, 0.16, 0.12, 0.1, 0.08}


def test_sets_can_be_chosen(photo):
    assert torch.equal(Jpeg(qualities=(10,))(photo, 0), jpeg(photo, 10))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_bicubic_down_scaling_is_antialiased(scale, photo):
    """Against torch's antialiased bicubic in float64, which does not round in between."""
    image = photo[:, :, :192][:, :144]
    small = Downscale(scale)(image, 0)
    expected = torch.nn.functional.interpolate(
        image[None].double(), scale_factor=1 / scale, mode="bicubic", antialias=True
    )[0]
    assert small.shape == expected.shape
    assert (small - expected.clamp(0, 1)).abs().max() * 255 < 2


def test_blurred_down_scaling_takes_the_middle_pixels(photo):
    image = photo[:, :159, :198]
    small = Downscale(3, "BD")(image, 0)
    blurred = cv2.GaussianBlur(image.permute(1, 2, 0).double().numpy(), (7, 7), 1.6, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(small.permute(1, 2, 0).numpy(), blurred[1::3, 1::3], atol=1e-5)


def test_noisy_down_scaling(photo):
    image = photo[:, :159, :198]
    noise = Downscale(3, "DN", sigma=30)(image, 0) - Downscale(3)(image, 0)
    assert float(noise.std()) * 255 == pytest.approx(30, rel=0.1)


def test_noise_that_is_not_clipped(photo):
    noisy = Noise(sigmas=(70,), levels="free")(photo, 0)
    assert noisy.min() < 0
    assert noisy.max() > 1
    assert float((noisy - photo).std()) * 255 == pytest.approx(70, rel=0.02)


def test_drops_cover_some_of_the_image_and_leave_the_rest(photo):
    wet = Raindrop(counts=(4,), radii=(6,))(photo, 0)
    changed = ((wet - photo).abs().amax(dim=0) > 0).double().mean()
    assert 0.02 < changed < 0.5


@pytest.mark.parametrize("factor", [Downscale(), Noise(levels="free")])
def test_what_cannot_be_mixed(factor):
    with pytest.raises(ValueError, match="changes the size or leaves"):
        Mixture({"rain": Rain(), "other": factor})


def test_a_scale_of_one_is_no_down_scaling():
    with pytest.raises(ValueError, match=r"Downscale.scale 1: give at least 2"):
        Downscale(1)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_gray_images(name, photo, depth):
    degradation = DEGRADATIONS[name]()
    gray = photo[:1]
    result = degradation(gray, 3, depth)
    assert result.shape == (1, *(side // degradation.scale for side in gray.shape[1:]))
    assert degradation.scale > 1 or not torch.equal(result, gray)
