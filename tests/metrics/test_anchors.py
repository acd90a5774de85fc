"""PSNR and SSIM that independent code found on research images: the anchors."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.degradations import Jpeg
from restore_lightning.io.images import from_array
from restore_lightning.metrics import protocol
from tests.references import y_rounded


def published_pairs(folder, name):
    """(H, W, 3) arrays of a set in `../shared`: degraded, clean."""
    if name == "Rain12":
        clean = sorted((folder / "Rain12/norain").glob("*.png"))
        return [(read(folder / f"Rain12/rain/{path.name.removeprefix('no')}"), read(path)) for path in clean]
    photographs = [read(path) for path in sorted((folder / "LIVE1").iterdir())]
    if name == "LIVE1 gray":
        photographs = [y_rounded(image) for image in photographs]
    return list(zip(map(coded, photographs), photographs, strict=True))


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def coded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=10)
    return np.asarray(Image.open(buffer))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "name", "expected_psnr", "expected_ssim"),
    [
        ("Rain12", "matlab-y", 30.135, 0.8554),
        ("LIVE1 gray", "jpeg-gray", 27.77, 0.7730),
        ("LIVE1", "matlab-y", 28.366, 0.7941),
        ("LIVE1", "durn-y", 27.04, 0.7819),
        ("LIVE1", "durn-rgb", 25.69, 0.7493),
    ],
)
def test_anchors(images, name, expected_psnr, expected_ssim, shared):
    """PROTOCOLS.md, means over images; its other rows are tested where their data are read or made."""
    found = published_pairs(shared / "data", images)
    assert len(found) == (12 if images == "Rain12" else 29)
    scores = [protocol(name).scores(*(from_array(image)[None] for image in pair)) for pair in found]
    assert np.mean([float(score["psnr"]) for score in scores]) == pytest.approx(expected_psnr, abs=0.01)
    assert np.mean([float(score["ssim"]) for score in scores]) == pytest.approx(expected_ssim, abs=5e-4)


ALL_IN_ONE = ("aio-rgb", "moce-rgb", "instructir-rgb")
"""Whose SSIMs the anchors call u, g and p."""


def cut(image):
    """The centre, of multiples of 16 pixels."""
    (top, below), (left, right) = (((side % 16) // 2, (side % 16 + 1) // 2) for side in image.shape[:2])
    return image[top : image.shape[0] - below, left : image.shape[1] - right]


def assert_anchor(pairs, psnr, ssims, names=ALL_IN_ONE):
    """Means over pairs of (H, W, 3) arrays in 0..255."""
    for name, expected in zip(names, ssims, strict=True):
        scores = [
            protocol(name).scores(*(image.transpose(2, 0, 1)[None] / 255 for image in pair)).values() for pair in pairs
        ]
        found = np.mean([[value.item() for value in score] for score in scores], axis=0)
        assert found[0] == pytest.approx(psnr, abs=0.01), name
        assert found[1] == pytest.approx(expected, abs=5e-4), name


@pytest.mark.slow
def test_anchors_of_noisy_images(shared):
    """ALL_IN_ONE.md's table of 12 images: noise of 15, then 25, then 50 from one stream of NumPy's old generator."""
    cleans = [cut(read(path)) for path in sorted((shared / "data/CBSD68/original_png").iterdir())]
    assert len(cleans) == 12
    stream = np.random.RandomState(0)
    for sigma, truncated, clipped, unclipped in (
        (15, (24.837, (0.5745, 0.5546, 0.5552)), (24.841, (0.5744, 0.5545, 0.5551)), (24.612, (0.5432,))),
        (25, (20.525, (0.4040, 0.3800, 0.3804)), (20.524, (0.4039, 0.3799, 0.3803)), (20.174, (0.3674,))),
        (50, (14.948, (0.2131, 0.1922, 0.1924)), (14.944, (0.2130, 0.1921, 0.1923)), (14.152, (0.1776,))),
    ):
        noisy = [(clean + sigma * stream.randn(*clean.shape), clean) for clean in cleans]
        assert_anchor([(np.floor(image.clip(0, 255)), clean) for image, clean in noisy], *truncated)
        assert_anchor([(image.clip(0, 255), clean) for image, clean in noisy], *clipped)
        assert_anchor(noisy, *unclipped, names=["instructir-rgb"])
        rounded = clipped[0], clipped[1][2:]
        assert_anchor(noisy, *rounded, names=["dcpt-rgb"])


def hazy(folder):
    """SOTS indoor: 10 pixels are cut off the clean images, then both to the centre of multiples of 16."""
    cleans = {name: read(folder / f"RESIDE/SOTS/gt/{name}.png")[10:-10, 10:-10] for name in ("1400", "1401")}
    files = sorted((folder / "RESIDE/SOTS/hazy").iterdir())
    return [(cut(read(path)), cut(cleans[path.name[:4]])) for path in files]


def blurred(folder):
    return [
        tuple(read(folder / f"GoPro_pairs/{scene}_{kind}1.png") for kind in ("blur", "sharp"))
        for scene in ("Flower", "Istanbul")
    ]


@pytest.mark.parametrize(
    ("pairs", "count", "psnr", "ssims"),
    [
        (hazy, 4, 15.763, (0.7976, 0.7964, 0.7964)),
        pytest.param(blurred, 2, 24.579, (0.7607, 0.7684, 0.7690), marks=pytest.mark.slow),
        pytest.param(
            lambda folder: published_pairs(folder, "Rain12"), 12, 28.815, (0.8280, 0.8350, 0.8354),
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_anchors_of_degraded_inputs(pairs, count, psnr, ssims, shared):
    """ALL_IN_ONE.md; files of 8 bits, for which "dcpt-rgb" is "instructir-rgb"."""
    found = pairs(shared / "data")
    assert len(found) == count
    assert_anchor(found, psnr, (*ssims, ssims[2]), names=(*ALL_IN_ONE, "dcpt-rgb"))


@pytest.mark.slow
def test_live1_as_a_dedicated_jpeg_network_is_tested(shared):
    """27.77 dB / 0.7730 from the data of `restore test`; paper 2 cuts its own to multiples of 16."""
    factor = FactorConfig(colour="y", protocol="jpeg-gray", degradation=Jpeg(qualities=(10,)))
    sets = {"whole": {}, "cut": {"multiple": 16}}
    sets = {name: EvaluationConfig(clean=str(shared / "data/LIVE1"), **given) for name, given in sets.items()}
    module = RestorationData({"jpeg": factor}, test_sets=sets)
    module.setup("test")
    whole, cut = module.test_sets
    values = []
    for item in whole:
        assert item["clean"].shape == item["degraded"].shape
        assert item["clean"].shape[0] == 1
        values.append(
            [float(v) for v in protocol("jpeg-gray").scores(item["degraded"][None], item["clean"][None]).values()]
        )
    assert np.mean(values, axis=0) == pytest.approx([27.77, 0.7730], abs=5e-3)
    assert len(values) == 29
    sizes = [(whole[i]["clean"].shape[1:], cut[i]["clean"].shape[1:]) for i in (0, 10, 20)]
    assert all([side - side % 16 for side in before] == list(after) for before, after in sizes)


@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, 33.67, 0.9303), (3, 30.40, 0.8689), (4, 28.43, 0.8111), (8, 24.40, 0.6582)]
)
def test_bicubic_rows_of_paper_3(scale, psnr, ssim, shared, restore, tmp_path):
    """PROTOCOLS.md's Set5, by restore test: its degraded images are enlarged bicubically for the score."""
    tiny = [word for key in ("D", "B", "M", "growth") for word in (f"--model.network.{key}", "1")]
    words = [*tiny, "--model.network.width", "4", "--model.network.scale", scale]
    words += ["--data.factors.downscale.degradation.scale", scale, "--trainer.default_root_dir", tmp_path]
    words += ["--data.crop_size", 12, "--data.samples_per_step", 1, "--data.num_workers", 0]
    words += ["--trainer.accelerator", "cpu", "--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    words += ["--trainer.limit_val_batches", "0", "--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    code, _, err = restore("fit", "--config", "din_sr.yaml", *words)
    assert code == 0, err
    sets = json.dumps({"Set5": {"clean": str(shared / "data/Set5")}})
    code, _, err = restore("test", "--config", tmp_path / "config.yaml", "--data.test_sets", sets)
    assert code == 0, err
    entry = json.loads((tmp_path / "scores.json").read_text())["sets"]["Set5"]
    assert (entry["images"], entry["protocol"]) == (5, "sr-y")
    assert entry["degraded"]["psnr"] == pytest.approx(psnr, abs=0.01)
    assert entry["degraded"]["ssim"] == pytest.approx(ssim, abs=5e-4)
