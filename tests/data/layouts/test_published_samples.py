"""Real samples of the published data sets, packed: how many, and the scores of their inputs."""

import numpy as np
import pytest

from restore_lightning.io.images import to_float
from restore_lightning.metrics import protocol
from tests.data.layouts.trees import packed, save

SAMPLES = {
    "reside": ("RESIDE", {"train": 4, "test_indoor": 4}),
    "sots-indoor": ("RESIDE/SOTS", {"test": 4}),
    "reside-its": ("RESIDE/ITS_v2", {"train": 4}),
    "durn-reside": ("DuRN_RESIDE_layout", {"train": 2, "test": 1}),
    "did-mdn-test": ("DIDMDN_layout", {"test": 9}),
    "rain12": ("Rain12", {"test": 12}),
    "polyu": ("PolyU", {"test": 100}),
    "live1": ("LIVE1", {"test": 29}),
    "set5": ("Set5", {"test": 5}),
    "set14": ("Set14", {"test": 14}),
    "bsd500": ("BSDS500", {"train": 165, "test": 189}),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_real_samples_in_their_published_layouts(name, shared, restore, tmp_path):
    folder, counts = SAMPLES[name]
    shards = packed(restore, name, shared / "data" / folder, tmp_path / "out")
    version = "degraded" if shards.versions(shards.splits[0]) else "clean"
    assert {split: len(shards.rows(split, version)) for split in shards.splits} == counts


def score_of(shards, row, name, score="psnr"):
    images = [to_float(shards.read(number))[None] for number in (row, shards.clean_of(row))]
    return float(getattr(protocol(name), score)(*images))


SOTS = {"1400-01": 14.79, "1400-02": 13.71, "1401-01": 17.87, "1401-02": 16.73}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder", "scored", "expected"),
    [
        ("sots-indoor", "RESIDE/SOTS", "durn-rgb", SOTS),
        ("rain12", "Rain12", "matlab-y", 30.135),
        ("polyu", "PolyU", "durn-rgb", 35.97),
    ],
)  # fmt: skip
def test_the_inputs_scores(name, folder, scored, expected, shared, restore, tmp_path):
    """PROTOCOLS.md's anchors, from the shards."""
    shards = packed(restore, name, shared / "data" / folder, tmp_path / "out")
    rows = shards.rows("test", "degraded").tolist()
    scores = {shards.name(row): score_of(shards, row, scored) for row in rows}
    if isinstance(expected, dict):
        assert scores == pytest.approx(expected, abs=0.01)
    else:
        assert np.mean(list(scores.values())) == pytest.approx(expected, abs=0.01)
    if name == "rain12":
        ssims = [score_of(shards, row, scored, "ssim") for row in rows]
        assert np.mean(ssims) == pytest.approx(0.8554, abs=5e-4)


def test_gopros_samples_in_the_official_layout(shared, restore, tmp_path):
    for name in ("Istanbul", "Flower"):
        for kind in ("blur", "sharp"):
            path = tmp_path / f"root/test/{name}/{kind}/000001.png"
            path.parent.mkdir(parents=True)
            path.symlink_to(shared / f"data/GoPro_pairs/{name}_{kind}1.png")
    shards = packed(restore, "gopro", tmp_path / "root", tmp_path / "out")
    scores = {shards.name(row): score_of(shards, row, "durn-rgb") for row in shards.rows("test", "degraded").tolist()}
    assert scores == pytest.approx({"Istanbul/000001": 24.05, "Flower/000001": 25.11}, abs=0.01)
    assert sorted(shards.index.sequences) == ["Flower", "Istanbul"]


def test_sizes_are_checked_before_images_are_resized(shared, restore, tmp_path):
    """The border is cut first; pairs that do not fit are not squeezed until they do."""
    import cv2

    root = shared / "data/RESIDE/SOTS"
    shards = packed(restore, "sots-indoor", root, tmp_path / "out", "--size", "310x230")
    row = int(shards.rows("test", "degraded")[0])
    hazy, clear = (cv2.imread(str(root / name)) for name in ("hazy/1400_1.png", "gt/1400.png"))
    expected = cv2.PSNR(cv2.resize(hazy, (310, 230)), cv2.resize(clear[10:-10, 10:-10], (310, 230)))
    assert score_of(shards, row, "durn-rgb") == pytest.approx(expected, abs=0.02)
    save(tmp_path / "pairs/clean/a.png", 9, (64, 36))
    save(tmp_path / "pairs/degraded/a.png", 9, (36, 64))
    words = ("shards", "pack", "pairs", tmp_path / "pairs", tmp_path / "other", "--size", "32x32", "--workers", 0)
    assert "sizes differ" in restore(*words)[2]
    save(tmp_path / "pairs/degraded/a.png", 9, (32, 18))
    code, _, err = restore(*words)
    assert code == 2
    assert "the clean images are 2 times as large as the degraded ones" in err
