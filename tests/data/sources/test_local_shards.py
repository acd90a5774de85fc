"""Training crops from shards."""

import torch
from PIL import Image

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from tests.data.conftest import samples_of


def test_clean_shards_and_their_files_give_the_same_batches(sets):
    """A factor degrades crops of a folder and of its shards alike: the same images, crops, noise."""
    batches = []
    for source in ({"clean": str(sets / "clean/train")}, {"shards": str(sets / "photos")}):
        for workers in (0, 2):
            module = RestorationData({"rain": FactorConfig(**source)}, crop_size=32, num_workers=workers)
            module.setup("fit")
            batches.append([sample["degraded"] for sample in samples_of(module, "rain")])
    for others in batches[1:]:
        assert all(torch.equal(one, other) for one, other in zip(batches[0], others, strict=True))


def test_pairs_of_another_resolution(sets, restore, tmp_path):
    """x2 pairs, packed: the shipped configuration of a super-resolution network trains on them."""
    for path in sorted((sets / "clean/train").iterdir()):
        for kind, size in (("clean", (200, 150)), ("degraded", (100, 75))):
            (tmp_path / "root" / kind).mkdir(parents=True, exist_ok=True)
            Image.open(path).resize(size).save(tmp_path / f"root/{kind}/{path.name}")
    assert restore("shards", "pack", "pairs", tmp_path / "root", tmp_path / "set", "--workers", 0)[0] == 0
    key = "--data.factors.downscale"
    words = ("fit", "--config", "din_sr.yaml", f"{key}.shards", tmp_path / "set", "--data.crop_size", 16)
    words += ("--data.val_sets", f"{{x: {{shards: {tmp_path / 'set'}, split: train}}}}", "--data.samples_per_step", 1)
    words += ("--model.network.D", 1, "--model.network.B", 1, "--model.network.M", 2, "--trainer.logger", "false")
    words += ("--trainer.max_steps", 1, "--trainer.limit_val_batches", 1, "--trainer.val_check_interval", 1)
    words += ("--data.num_workers", 0, "--trainer.default_root_dir", tmp_path / "run")
    assert "are degraded already: set it to null" in restore(*words)[2]
    code, _, err = restore(*words, f"{key}.degradation", "null", "--overwrite")
    assert code == 0, err


def test_gray_crops_of_shards(sets):
    module = RestorationData({"noise": FactorConfig(shards=str(sets / "photos"), colour="gray")}, crop_size=32)
    module.setup("fit")
    assert samples_of(module, "noise", 1)[0]["clean"].shape == (1, 32, 32)
