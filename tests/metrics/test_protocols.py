"""Scores against scikit-image and OpenCV, on real photographs."""

import json

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore_lightning.errors import UserError
from restore_lightning.images import from_array, to_float
from restore_lightning.metrics import PROTOCOLS, mean_over_images, protocol, psnr, ssim
from restore_lightning.metrics.scores import SetScores


@pytest.fixture(scope="module")
def pairs():
    """Two photographs and their noisy versions, as (H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    cleans = [data.astronaut()[:180, :200], data.coffee()[:180, :200]]
    return [
        (np.clip(c + rng.normal(0, s, c.shape), 0, 255).astype(np.uint8), c)
        for c, s in zip(cleans, (8, 25), strict=True)
    ]


def batch(images):
    return torch.stack([to_float(from_array(image)) for image in images])


def y_matlab(image):
    return 16 + image.astype(np.float64) @ [65.481, 128.553, 24.966] / 255


COLOURS = {
    "rgb": lambda image: image,
    "y_opencv": lambda image: cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 0],
    "y_matlab": y_matlab,
}


def reference_ssim(a, b, window):
    channel_axis = 2 if a.ndim == 3 else None
    if window == "skimage":
        return structural_similarity(a, b, data_range=255, channel_axis=channel_axis)
    _, full = structural_similarity(
        a,
        b,
        data_range=255,
        channel_axis=channel_axis,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return full[5:-5, 5:-5].mean()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_against_scikit_image(name, pairs):
    scored = protocol(name)
    colour = COLOURS[scored.colour]
    restored, clean = (batch(images) for images in zip(*pairs, strict=True))
    for i, (a, b) in enumerate(pairs):
        a, b = colour(a), colour(b)
        assert scored.psnr(restored, clean)[i].item() == pytest.approx(
            peak_signal_noise_ratio(b, a, data_range=255), abs=1e-3
        )
        assert scored.ssim(restored, clean)[i].item() == pytest.approx(reference_ssim(b, a, scored.window), abs=1e-5)


def test_quantisation_cuts_off():
    scored = protocol("durn-rgb")
    clean = torch.full((1, 3, 16, 16), 100 / 255)
    assert scored.psnr(clean + 0.9 / 255, clean).isinf().all()
    assert scored.psnr(clean - 0.1 / 255, clean).item() == pytest.approx(20 * np.log10(255))


def test_bytes_survive_the_way_through_floats():
    values = torch.arange(256, dtype=torch.uint8).repeat(3, 16, 1)[None]
    assert protocol("mbn-rgb").psnr(to_float(values), values.double() / 255).isinf().all()


def test_scores_are_per_image_and_never_pooled(pairs):
    restored, clean = (batch(images) for images in zip(*pairs, strict=True))
    scores = SetScores("noise", "mbn-rgb")
    for i in range(2):
        scores.update({"degraded": restored[i : i + 1], "restored": clean[i : i + 1]}, clean[i : i + 1])
    each = protocol("mbn-rgb").psnr(restored, clean)
    assert scores.images == 2
    assert scores.compute()["degraded"]["psnr"] == pytest.approx(each.mean().item())
    pooled = -10 * torch.log10(((restored - clean) ** 2).mean())
    assert abs(pooled - each.mean()) > 1


def test_identical_images_do_not_swallow_the_mean():
    assert mean_over_images(torch.tensor([30.0, float("inf"), 40.0])) == 35
    assert mean_over_images(torch.tensor([float("inf")])) == float("inf")
    assert np.isnan(mean_over_images(torch.tensor([30.0, float("nan")])))  # a broken image is not left out


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="11x11"):
        ssim(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20), "matlab")


def test_psnr_of_equal_images_is_infinite():
    image = torch.rand(2, 3, 8, 8)
    assert psnr(image, image).isinf().all()


def test_unknown_protocol():
    with pytest.raises(UserError, match="unknown protocol 'psnr': choose one of durn-rgb, durn-y"):
        protocol("psnr")


def test_rain12_anchor(shared):
    """PROTOCOLS.md: the rainy input of Rain12 is published as 30.14 dB / 0.855."""
    from restore_lightning.images import read_image

    scored, folder = protocol("matlab-y"), shared / "data/Rain12"
    clean = [to_float(read_image(path))[None] for path in sorted((folder / "norain").iterdir())]
    rainy = [to_float(read_image(path))[None] for path in sorted((folder / "rain").iterdir())]
    assert len(clean) == len(rainy) == 12
    assert np.mean([scored.psnr(a, b).item() for a, b in zip(rainy, clean, strict=True)]) == pytest.approx(
        30.135, abs=0.01
    )
    assert np.mean([scored.ssim(a, b).item() for a, b in zip(rainy, clean, strict=True)]) == pytest.approx(
        0.8554, abs=5e-4
    )


@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104), (8, 24.40, 0.6580)]
)
def test_bicubic_rows_of_paper_3(scale, psnr, ssim, shared, restore, tmp_path):
    """Table 3, Set5, by restore test: its degraded images are enlarged bicubically for the score."""
    tiny = [word for key in ("D", "B", "M", "growth") for word in (f"--model.network.{key}", "1")]
    words = [*tiny, "--model.network.width", "4", "--model.network.scale", scale]
    words += ["--data.factors.downscale.degradation.scale", scale, "--trainer.default_root_dir", tmp_path]
    words += ["--data.crop_size", 12, "--data.batch_size", 1, "--data.num_workers", 0]
    words += ["--trainer.accelerator", "cpu", "--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    words += ["--trainer.limit_val_batches", "0", "--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    code, _, err = restore("fit", "--config", "din_sr.yaml", *words)
    assert code == 0, err
    sets = json.dumps({"Set5": {"clean": str(shared / "data/Set5")}})
    code, _, err = restore("test", "--config", tmp_path / "config.yaml", "--data.test_sets", sets)
    assert code == 0, err
    entry = json.loads((tmp_path / "scores.json").read_text())["sets"]["Set5"]
    assert (entry["images"], entry["protocol"]) == (5, "sr-y")
    assert entry["degraded"]["psnr"] == pytest.approx(psnr, abs=0.02)
    assert entry["degraded"]["ssim"] == pytest.approx(ssim, abs=0.001)


def test_sr_y_rounds_and_leaves_the_border_out():
    clean = torch.rand(1, 3, 24, 24)
    restored = clean.clone()
    restored[..., :2, :] = 0
    restored[..., -2:] = 1
    assert bool(torch.isinf(protocol("sr-y", scale=2).psnr(restored, clean)))
    assert bool(torch.isfinite(protocol("sr-y", scale=1).psnr(restored, clean)))
    almost = torch.full((1, 1, 16, 16), 0.6 / 255)
    assert float(protocol("sr-y").psnr(almost, torch.full_like(almost, 1 / 255))) == float("inf")  # rounded
    assert float(protocol("durn-gray").psnr(almost, torch.zeros_like(almost))) == float("inf")  # cut off
