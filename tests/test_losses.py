import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore_lightning.losses import Charbonnier, FourierL1, NegativePSNR, multiscale_ssim_l1, ssim_l1
from restore_lightning.networks.layers import pyramid


def test_equal_images():
    image = torch.rand(2, 3, 32, 32)
    assert ssim_l1(image, image).item() == pytest.approx(-1.1, abs=1e-4)


def reference_ssim(a, b):
    """The SSIM of each pixel of two (C, H, W) in [0, 1] in float64 (Wang et al. 2004), reflected at the borders."""

    def blurred(image):
        places = np.arange(-5, 6)
        taps = np.exp(-(places**2) / (2 * 1.5**2))
        for axis in (1, 2):  # "mirror" does not repeat the border, like torch's "reflect"
            image = ndimage.correlate1d(image, taps / taps.sum(), axis, mode="mirror")
        return image

    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    one, two = 0.01**2, 0.03**2
    similarity = (2 * mean_a * mean_b + one) * (2 * covariance + two)
    return similarity / ((mean_a**2 + mean_b**2 + one) * (var_a + var_b + two))


@pytest.fixture(params=["chelsea", "coffee", "astronaut"])
def pair(request):
    """A photograph and a blurred, noisy one: two (3, 90, 120) in [0, 1]."""
    clean = getattr(data, request.param)()[40:130, 100:220].transpose(2, 0, 1) / 255
    noise = np.random.default_rng(0).normal(0, 0.05, clean.shape)
    return ndimage.gaussian_filter(clean, (0, 1.5, 1.5)) + noise, clean


def loss_of(pair, dtype, **weights):
    return ssim_l1(*(torch.from_numpy(image)[None].to(dtype) for image in pair), **weights)


def test_the_reference_is_scikit_images(pair):
    """Inside, which the two ways of going on beyond the borders do not reach."""
    settings = {"data_range": 1, "channel_axis": 0, "gaussian_weights": True, "use_sample_covariance": False}
    _, theirs = structural_similarity(*pair, full=True, **settings)
    inside = (slice(None), slice(5, -5), slice(5, -5))
    np.testing.assert_allclose(reference_ssim(*pair)[inside], theirs[inside], atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-5)])
def test_ssim_and_l1_by_an_independent_reference(pair, dtype, tolerance):
    similarity, distance = reference_ssim(*pair).mean(), np.abs(pair[0] - pair[1]).mean()
    assert 0.2 < similarity < 0.9
    for ssim_weight, l1_weight in ((1.1, 0.75), (1, 0), (0, 1)):
        loss = loss_of(pair, dtype, ssim_weight=ssim_weight, l1_weight=l1_weight)
        assert float(loss) == pytest.approx(l1_weight * distance - ssim_weight * similarity, abs=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_loss_in_float32(pair, dtype):
    """As a mixed-precision step computes it: on float32 images, and on what a layer made in half precision."""
    plain = loss_of(pair, torch.float32)
    images = [torch.from_numpy(image)[None].float().requires_grad_() for image in pair]
    with torch.autocast("cpu", dtype):
        loss = ssim_l1(*images)
        rounded = ssim_l1(images[0].to(dtype), images[1])
    assert loss.dtype == rounded.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(plain), abs=1e-5)
    assert torch.equal(rounded, ssim_l1(images[0].to(dtype).float(), images[1]))
    loss.backward()
    assert images[0].grad.isfinite().all()


def test_weights():
    a, b = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    both = ssim_l1(a, b, 1.1, 0.75)
    torch.testing.assert_close(both, ssim_l1(a, b, 1.1, 0) + ssim_l1(a, b, 0, 0.75))


def test_multiscale_is_the_plain_sum_over_scales():
    clean = torch.rand(1, 3, 64, 64)
    outputs = [torch.rand_like(level) for level in pyramid(clean, 3)]
    assert [level.shape[-1] for level in outputs] == [16, 32, 64]
    parts = [ssim_l1(o, c) for o, c in zip(outputs, pyramid(clean, 3), strict=True)]
    torch.testing.assert_close(multiscale_ssim_l1(outputs, clean), sum(parts))
    weighted = multiscale_ssim_l1(outputs, clean, scale_weights=[0, 0, 2])
    torch.testing.assert_close(weighted, 2 * parts[2])


def test_branches_with_one_output_ignore_scale_weights():
    clean, output = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(multiscale_ssim_l1([output], clean, [1, 2, 3]), ssim_l1(output, clean))


def test_wrong_number_of_weights():
    clean = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="has 3 numbers, the branch has 2 scales"):
        multiscale_ssim_l1(pyramid(clean, 2), clean, [1, 1, 1])


def test_psnr_loss_is_the_negative_mean_psnr_of_each_image():
    a, b = torch.rand(2, 3, 3, 16, 20, dtype=torch.float64)
    b[0] = a[0] + 0.01 * b[0]
    expected = np.mean([10 * np.log10(((x - y) ** 2).mean() + 1e-8) for x, y in zip(a.numpy(), b.numpy(), strict=True)])
    assert NegativePSNR()(a, b).item() == pytest.approx(expected, rel=1e-12)
    psnr = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert NegativePSNR()(a, b).item() == pytest.approx(-np.mean(psnr), abs=1e-2)
    assert NegativePSNR()(a, a).item() == pytest.approx(-80)


@pytest.mark.parametrize("eps", [1e-3, 0.5])
def test_charbonnier(eps):
    a, b = torch.rand(2, 2, 3, 16, 20, dtype=torch.float64)
    expected = np.sqrt((a.numpy() - b.numpy()) ** 2 + eps**2).mean()
    assert Charbonnier(eps)(a, b).item() == pytest.approx(expected, rel=1e-12)
    assert Charbonnier(eps)(a, a).item() == pytest.approx(eps)
    with pytest.raises(ValueError, match="eps=0: give a number above 0"):
        Charbonnier(0)


@pytest.mark.parametrize("weight", [0.1, 2.0])
def test_fourier_l1(weight):
    """Of the spectra's real and imaginary parts, up to the Nyquist frequency of the width."""
    a, b = torch.rand(2, 2, 3, 16, 21, dtype=torch.float64)
    spectra = [np.fft.fft2(image.numpy(), axes=(2, 3))[..., :11] for image in (a, b)]
    difference = spectra[0] - spectra[1]
    expected = np.abs(a.numpy() - b.numpy()).mean()
    expected += weight * (np.abs(difference.real).mean() + np.abs(difference.imag).mean()) / 2
    assert FourierL1(weight)(a, b).item() == pytest.approx(expected, rel=1e-12)
    assert FourierL1(weight)(a, a).item() == 0


@pytest.mark.parametrize("loss", [NegativePSNR(), Charbonnier(), FourierL1()])
def test_losses_of_equal_and_of_half_precision_images(loss):
    a = torch.rand(2, 3, 16, 16).half().requires_grad_()
    b = torch.rand(2, 3, 16, 16).half()
    assert loss(a, b).dtype == torch.float32
    torch.testing.assert_close(loss(a, b), loss(a.float(), b.float()))
    loss(a, a.detach()).backward()
    assert a.grad.isfinite().all()
