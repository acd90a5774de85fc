import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore_lightning.losses import Charbonnier, NegativePSNR, multiscale_ssim_l1, ssim_l1
from restore_lightning.networks.layers import pyramid


def test_equal_images():
    image = torch.rand(2, 3, 32, 32)
    assert ssim_l1(image, image).item() == pytest.approx(-1.1, abs=1e-4)


def test_against_scikit_image():
    a, b = torch.rand(3, 40, 40, dtype=torch.float64), torch.rand(3, 40, 40, dtype=torch.float64)
    _, similarity = structural_similarity(
        a.numpy(),
        b.numpy(),
        data_range=1,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    inner = (slice(None), slice(5, -5), slice(5, -5))  # the borders are padded in two ways
    from kornia.metrics import ssim

    torch.testing.assert_close(
        ssim(a[None], b[None], 11)[0][inner], torch.from_numpy(similarity[inner]), rtol=0, atol=1e-6
    )
    loss = ssim_l1(a[None], b[None], ssim_weight=0, l1_weight=0.75)
    assert loss.item() == pytest.approx(0.75 * (a - b).abs().mean().item())


def test_weights():
    a, b = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    both = ssim_l1(a, b, 1.1, 0.75)
    torch.testing.assert_close(both, ssim_l1(a, b, 1.1, 0) + ssim_l1(a, b, 0, 0.75))


def test_half_precision_is_computed_in_float32():
    a, b = torch.rand(1, 3, 32, 32).bfloat16(), torch.rand(1, 3, 32, 32).bfloat16()
    assert ssim_l1(a, b).dtype == torch.float32
    torch.testing.assert_close(ssim_l1(a, b), ssim_l1(a.float(), b.float()))


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


@pytest.mark.parametrize("loss", [NegativePSNR(), Charbonnier()])
def test_losses_of_equal_and_of_half_precision_images(loss):
    a = torch.rand(2, 3, 16, 16).half().requires_grad_()
    b = torch.rand(2, 3, 16, 16).half()
    assert loss(a, b).dtype == torch.float32
    torch.testing.assert_close(loss(a, b), loss(a.float(), b.float()))
    loss(a, a.detach()).backward()
    assert a.grad.isfinite().all()
