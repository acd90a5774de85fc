"""Noise as published test codes add it: the same bytes, in any order, and the scores that it leads to."""

import pickle

import numpy as np
import pytest
import torch

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.evaluation_set import SetInfo, folder_entries, noisy_set
from restore_lightning.data.module import RestorationData
from restore_lightning.data.noise_stream import LegacyNoise
from restore_lightning.errors import UserError
from restore_lightning.io.images import read_image, to_float
from restore_lightning.metrics.functional import psnr, ssim

INFO = SetInfo("set", "noise", "mbn-rgb", multiple=16, keep="centre")


def published(paths, sigma, earlier):
    """As AirNet and its successors test: name -> noisy image, (3, H, W) uint8."""
    np.random.seed(0)
    for number in range(earlier + 1):
        found = {}
        for path in sorted(paths, key=lambda path: path.name):
            image = read_image(path).permute(1, 2, 0).numpy()
            h, w = image.shape[:2]
            top, left = h % 16 // 2, w % 16 // 2
            image = image[top : top + h // 16 * 16, left : left + w // 16 * 16]
            noise = np.random.randn(*image.shape)
            if number == earlier:
                noisy = np.clip(image + noise * sigma, 0, 255).astype(np.uint8)
                found[path.stem] = torch.from_numpy(noisy).permute(2, 0, 1)
    return found


@pytest.mark.parametrize(("sigma", "earlier"), [(15, 0), (50, 2)])
def test_the_published_codes_bytes_in_any_order(sigma, earlier, photographs):
    expected = published(list(photographs.glob("*.png")), sigma, earlier)
    scored = noisy_set(INFO, LegacyNoise(sigma, earlier), folder_entries(photographs), "here")
    scored = pickle.loads(pickle.dumps(scored))  # as workers get it
    for number in (1, 0, 1):
        sample = scored[number]
        assert sample["degraded"].shape == sample["clean"].shape == (3, 64, 80)
        assert torch.equal(sample["degraded"], expected[sample["name"]])


def test_a_seed_for_each_image(photographs):
    scored = noisy_set(INFO, LegacyNoise(25, each_image=True, levels="free"), folder_entries(photographs), "here")
    noise = np.random.RandomState(0).normal(0, 25 / 255, (64, 80, 3)).transpose(2, 0, 1)
    for sample in (scored[1], scored[0]):
        difference = sample["degraded"].double() - to_float(sample["clean"], torch.float64)
        np.testing.assert_allclose(difference.numpy(), noise, atol=1e-6)


ANCHORS = {  # 12 images of CBSD68, sigma 15, 25, 50: PSNR; SSIM uniform 7x7, Gaussian with population covariance
    "truncated": [(24.837, 0.5745, 0.5552), (20.525, 0.4040, 0.3804), (14.948, 0.2131, 0.1924)],
    "clipped": [(24.841, 0.5744, 0.5551), (20.524, 0.4039, 0.3803), (14.944, 0.2130, 0.1923)],
    "rounded": [(24.840, 0.5743, 0.5551), (20.524, 0.4038, 0.3803), (14.944, 0.2130, 0.1923)],
    "free": [(24.612, 0.5635, 0.5432), (20.174, 0.3924, 0.3674), (14.152, 0.1991, 0.1776)],
}


def scores_of(folder, noise):
    values = []
    for sample in noisy_set(INFO, noise, folder_entries(folder), "CBSD68"):
        pair = [255 * to_float(sample[key])[None] for key in ("degraded", "clean")]
        values.append([float(psnr(*pair)), *(float(ssim(*pair, window)) for window in ("skimage", "matlab"))])
    return np.mean(values, axis=0)


@pytest.mark.parametrize("levels", ANCHORS)
def test_the_noisy_images_scores(levels, shared):
    """Figures of independent code, unquantised."""
    for earlier, sigma in enumerate((15, 25, 50) if levels == "truncated" else (15,)):
        found = scores_of(shared / "data/CBSD68/original_png", LegacyNoise(sigma, earlier, levels))
        expected = ANCHORS[levels][earlier]
        assert found[0] == pytest.approx(expected[0], abs=0.01)
        assert found[1:] == pytest.approx(expected[1:], abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("levels", ["clipped", "rounded", "free"])
def test_the_other_sigmas_scores(levels, shared):
    for earlier, sigma in ((1, 25), (2, 50)):
        found = scores_of(shared / "data/CBSD68/original_png", LegacyNoise(sigma, earlier, levels))
        expected = ANCHORS[levels][earlier]
        assert found[0] == pytest.approx(expected[0], abs=0.01)
        assert found[1:] == pytest.approx(expected[1:], abs=5e-4)


def test_as_a_test_set_of_a_run(photographs, sets):
    noise = LegacyNoise(50, 2)
    given = {
        "files": EvaluationConfig(clean=str(photographs), multiple=16, keep="centre", noise=noise),
        "shards": EvaluationConfig(shards=str(sets / "photos"), split="val", noise=noise),
    }
    data = RestorationData({"noise": FactorConfig()}, test_sets=given)
    data.setup("test")
    files, shards = data.test_sets
    assert files[0]["degraded"].shape == (3, 64, 80)
    assert shards[0]["degraded"].shape == (3, 150, 200)
    assert "sigma=50" in files.data


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clean": "a", "noise": LegacyNoise(-1)}, r"data.test_sets.x.noise.sigma -1: give at least 0"),
        ({"clean": "a", "noise": LegacyNoise(15, 1, each_image=True)}, "earlier says nothing"),
        ({"clean": "a", "degraded": "b", "noise": LegacyNoise(15)}, "noise and a folder of degraded images are given"),
    ],
)
def test_what_makes_no_sense(given, message):
    with pytest.raises(UserError, match=message):
        EvaluationConfig(**given).check("data.test_sets.x")
