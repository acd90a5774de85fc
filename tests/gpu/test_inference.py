"""Restoring on a GPU: bfloat16 beside float32, and memory that tiles bound."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.inference import InferenceSettings, Restorer
from restore_lightning.networks import MBN

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


def test_bfloat16_scores_as_float32(gpu, run, words, tmp_path):
    """Mean PSNR of a trained network, at most 0.01 dB apart."""
    fit = words("MBN").fit(tmp_path, 200, "--trainer.accelerator", gpu, "--trainer.val_check_interval", 200)
    run(*fit)
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        run("test", "--config", tmp_path / "config.yaml", "--trainer.precision", precision)
        sets = json.loads((tmp_path / "scores.json").read_text())["sets"]
        found[precision] = np.mean([scored["restored"]["psnr"] for scored in sets.values()])
    assert found["bf16-mixed"] == pytest.approx(found["32-true"], abs=0.01)


def test_images_are_restored_as_on_the_cpu(gpu, run, words, tmp_path, photographs):
    """In bytes, at most 1 apart: float32 is not TF32."""
    run(*words("MBN").fit(tmp_path / "run", 8, "--trainer.accelerator", gpu))
    last = tmp_path / "run/checkpoints/last.ckpt"
    for device in ("cpu", gpu):
        output = ("--output", tmp_path / f"on {device}", "--overwrite", "--precision", "float32")
        run("apply", last, photographs, "--factor", "blur", *output, "--device", device)
    for path in photographs.iterdir():
        one, other = (
            np.asarray(Image.open(tmp_path / f"on {device}" / path.name), np.int16) for device in ("cpu", gpu)
        )
        assert abs(one - other).max() <= 1


def peak(restorer: Restorer, side: int, card: torch.device) -> int:
    """Most bytes of the device that a square image takes beside the networks."""
    image = torch.from_numpy(np.resize(data.astronaut(), (side, side, 3))).permute(2, 0, 1)[None] / 255
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(card)
    before = torch.cuda.memory_allocated(card)
    with torch.inference_mode():
        restorer.restore(image, ["rain"])
    return torch.cuda.max_memory_allocated(card) - before


def test_tiles_bound_memory(card):
    """16 times the pixels take as much memory in tiles; the image stays where it is."""
    torch.manual_seed(0)
    network = MBN(width=8, init="scaled").eval()
    restorer = Restorer(dict.fromkeys(network.info.factors, network), None, InferenceSettings(tile=256)).to(card)
    peak(restorer, 512, card)  # kernels are chosen
    assert peak(restorer, 2048, card) < 1.2 * peak(restorer, 1024, card)
