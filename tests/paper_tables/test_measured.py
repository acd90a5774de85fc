"""The scores of ours that are shipped beside the papers', measured again on the real images."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from restore_lightning.io.images import from_array, to_float
from restore_lightning.metrics import protocol
from restore_lightning.paper_tables.printed import table


@pytest.mark.slow
def test_rain12_from_the_released_weights(shared, restore, tmp_path):
    """Rows of drn-1 and din-6, by the commands of docs/reproduce.md."""
    rain12 = shared / "data/Rain12"
    (tmp_path / "clean").mkdir()
    for path in (rain12 / "norain").glob("*.png"):
        shutil.copy(path, tmp_path / "clean" / path.name.removeprefix("no"))
    weights = shared / "golden/weights/DRN_Rain100L.pth"
    assert restore("convert", "DRN", weights, tmp_path / "drn.ckpt")[0] == 0
    sets = {"Rain12": {"degraded": str(rain12 / "rain"), "clean": str(tmp_path / "clean")}}
    words = ("--ckpt_path", tmp_path / "drn.ckpt", "--data.test_sets", json.dumps(sets), "--trainer.accelerator", "cpu")
    words = (*words, "--trainer.enable_progress_bar", "false", "--trainer.default_root_dir", tmp_path / "runs/rain12")
    words = (*words, "--trainer.precision", "32-true")
    code, _, err = restore("test", "--config", "drn_rain100l.yaml", *words)
    assert code == 0, err
    # Without files in between the protocol cuts off, as the authors do: 36.146, not 36.131.
    entry = json.loads((tmp_path / "runs/rain12/scores.json").read_text())["sets"]["Rain12"]
    assert entry["restored"]["psnr"] == pytest.approx(36.146, abs=0.002)
    assert entry["degraded"]["psnr"] == pytest.approx(30.135, abs=0.002)
    assert entry["degraded"]["ssim"] == pytest.approx(0.8554, abs=0.0001)

    def rows(name):
        code, out, err = restore("table", name, "--results", tmp_path / "runs", "--format", "csv")
        assert code == 0, err
        return list(csv.DictReader(io.StringIO(out)))

    shipped, measured, *_ = [row for row in rows("drn-1") if row["from"] == "ours"]
    assert (shipped["Rain12 PSNR"], shipped["Rain12 SSIM"]) == ("36.15", "0.9605")
    assert f"{float(measured['Rain12 PSNR']):.2f}" == shipped["Rain12 PSNR"]
    assert f"{float(measured['Rain12 SSIM']):.4f}" == shipped["Rain12 SSIM"]
    assert "12 images" in measured["origin"]
    assert "(the published set" not in measured["origin"]
    of_input = [row for row in rows("din-6")[:3] if row["from"] == "ours"]
    assert [f"{float(row['Rain12 PSNR']):.2f} / {float(row['Rain12 SSIM']):.4f}" for row in of_input] == [
        "30.14 / 0.8554"
    ] * 2


@pytest.mark.parametrize("row", [row for row in table("din-3").measured], ids=lambda row: f"x{row.facts['scale']}")
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_bicubic(row, name, shared):
    scale = row.facts["scale"]
    chosen, scores = protocol("sr-y", scale), []
    for path in sorted((shared / "data" / name).iterdir()):
        image = Image.open(path).convert("RGB")
        size = [side // scale for side in image.size]
        clean = image.crop((0, 0, size[0] * scale, size[1] * scale))
        large = clean.resize(size, Image.Resampling.BICUBIC).resize(clean.size, Image.Resampling.BICUBIC)
        batch = [to_float(from_array(np.asarray(each)))[None] for each in (large, clean)]
        scores.append([float(chosen.psnr(*batch)), float(chosen.ssim(*batch))])
    psnr, ssim = np.mean(scores, axis=0)
    cell = row.cells[[column.name for column in table("din-3").columns].index(name)]
    assert cell == f"{psnr:.2f} / {ssim:.4f}"
