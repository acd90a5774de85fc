"""Training losses."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.networks.layers import pyramid, reflect_pad
from restore_lightning.networks.normalisation import without_autocast

RADIUS, SIGMA = 5, 1.5
"""Of SSIM's Gaussian window (pixels)."""
C1, C2 = 0.01**2, 0.03**2
"""SSIM's constants for images in [0, 1]."""
SMALLEST = RADIUS + 1
"""Pixels per side that SSIM needs: its window is padded by reflection."""


def ssim_l1(restored: Tensor, clean: Tensor, ssim_weight: float = 1.1, l1_weight: float = 0.75) -> Tensor:
    """`ssim_weight * (-SSIM) + l1_weight * L1` (paper 2, appendix B), in float32 at least, under autocast too.

    SSIM is the mean over all pixels: beyond its borders an image goes on by reflection.

    Args:
        restored: (B, C, H, W), about [0, 1], not clamped.
        clean: (B, C, H, W) in [0, 1].
        ssim_weight: Weight of the negative SSIM (Gaussian window 11, sigma 1.5).
        l1_weight: Weight of the mean absolute error.

    Returns:
        A number; `-ssim_weight` where both are equal.
    """
    exact = torch.promote_types(torch.promote_types(restored.dtype, clean.dtype), torch.float32)
    with without_autocast(restored):
        restored, clean = restored.to(exact), clean.to(exact)
        return l1_weight * (restored - clean).abs().mean() - ssim_weight * ssim_map(restored, clean).mean()


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """The structural similarity of each pixel (Wang et al., "Image Quality Assessment", 2004), by separable filters.

    Args:
        a: (B, C, H, W) in about [0, 1], float32 or float64.
        b: The same shape and type.

    Returns:
        (B, C, H, W), at most 1; reflected at the borders.
    """
    a, b = a - 0.5, b - 0.5  # variances are small differences of squares: less is lost around 0
    maps = reflect_pad(torch.cat([a, b, a * a + b * b, a * b], dim=1), RADIUS)
    # Made on the device: nothing is copied there. As many groups as channels, which CUDA computes without TF32.
    taps = torch.arange(-RADIUS, RADIUS + 1, device=a.device, dtype=a.dtype).square().div(-2 * SIGMA**2).softmax(0)
    groups = maps.shape[1]
    maps = functional.conv2d(maps, taps[:, None].expand(groups, 1, -1, -1), groups=groups)
    maps = functional.conv2d(maps, taps[None, :].expand(groups, 1, -1, -1), groups=groups)
    mean_a, mean_b, squares, product = maps.chunk(4, dim=1)
    variances = squares - mean_a.square() - mean_b.square()
    covariance = product - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    similarity = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return similarity / ((mean_a.square() + mean_b.square() + C1) * (variances + C2))


def multiscale_ssim_l1(
    outputs: Sequence[Tensor],
    clean: Tensor,
    scale_weights: Sequence[float] | None = None,
    ssim_weight: float = 1.1,
    l1_weight: float = 0.75,
) -> Tensor:
    """`ssim_l1` summed over the scales of a branch.

    Args:
        outputs: Images of a branch, coarsest first.
        clean: (B, C, H, W) at the size of the last output.
        scale_weights: One weight per scale, coarsest first; None: the plain sum. Branches with one
            output have weight 1.
        ssim_weight: See `ssim_l1`.
        l1_weight: See `ssim_l1`.

    Raises:
        ValueError: Another number of weights than of outputs.
    """
    weights = [1.0] * len(outputs) if scale_weights is None or len(outputs) == 1 else scale_weights
    if len(weights) != len(outputs):
        raise ValueError(f"scale_weights has {len(weights)} numbers, the branch has {len(outputs)} scales")
    terms = [
        weight * ssim_l1(output, target, ssim_weight, l1_weight)
        for weight, output, target in zip(weights, outputs, pyramid(clean, len(outputs)), strict=True)
    ]
    return torch.stack(terms).sum()


class SSIML1(nn.Module):
    """`ssim_l1` as a loss to be named in a config; `ssim_weight` 1 and `l1_weight` 0 is the negative SSIM of paper 4.

    Args:
        ssim_weight: Weight of the negative SSIM.
        l1_weight: Weight of the mean absolute error.
    """

    smallest = SMALLEST

    def __init__(self, ssim_weight: float = 1.1, l1_weight: float = 0.75) -> None:
        super().__init__()
        self.ssim_weight = ssim_weight
        self.l1_weight = l1_weight

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Two (B, C, H, W) -> a number."""
        return ssim_l1(restored, clean, self.ssim_weight, self.l1_weight)


class NegativePSNR(nn.Module):
    """`10 / ln 10 * mean over images of ln(MSE + 1e-8)`: the negative mean PSNR in dB, NAFNet's "PSNRLoss".

    Chen et al., "Simple Baselines for Image Restoration", ECCV 2022 (after HINet). Computed in float32 at least;
    -80 where both are equal.
    """

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Two (B, C, H, W), about [0, 1] -> a number."""
        errors = _exact_difference(restored, clean).square().mean(dim=(1, 2, 3))
        return 10 / math.log(10) * (errors + 1e-8).log().mean()


class Charbonnier(nn.Module):
    """`mean of sqrt((restored - clean)^2 + eps^2)`, a smooth L1.

    Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", CVPR 2017, equation 2.
    Computed in float32 at least; eps where both are equal.

    Args:
        eps: Differences above it count as in L1, smaller ones as in L2.

    Raises:
        ValueError: eps is not above 0.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps={eps}: give a number above 0")
        self.eps = eps

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Two (B, C, H, W) -> a number."""
        return (_exact_difference(restored, clean).square() + self.eps**2).sqrt().mean()


class FourierL1(nn.Module):
    """L1 of the images plus `fourier_weight` times L1 of their spectra, as MoCE-IR's code means it.

    Zamfir et al., "Complexity Experts are Task-Discriminative Learners for Any Image Restoration", CVPR 2025. The
    spectrum is that of `rfft2` without a norm, so that it grows with the crop; its L1 is the mean over real and
    imaginary parts. Computed in float32 at least.

    Args:
        fourier_weight: Weight of the spectra's L1.
    """

    def __init__(self, fourier_weight: float = 0.1) -> None:
        super().__init__()
        self.fourier_weight = fourier_weight

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Two (B, C, H, W), about [0, 1] -> a number."""
        difference = _exact_difference(restored, clean)
        spectrum = torch.view_as_real(torch.fft.rfft2(difference))
        return difference.abs().mean() + self.fourier_weight * spectrum.abs().mean()


def _exact_difference(restored: Tensor, clean: Tensor) -> Tensor:
    exact = torch.promote_types(restored.dtype, torch.float32)
    return restored.to(exact) - clean.to(exact)


def stage_weights(count: int) -> list[float]:
    """Weights of the outputs of `count` stages: 0.1 t, and 1 more for the last (paper 4, section 3, for 7 stages).

    >>> [round(weight, 1) for weight in stage_weights(7)]
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.7]
    """
    return [0.1 * t for t in range(1, count)] + [0.1 * count + 1]
