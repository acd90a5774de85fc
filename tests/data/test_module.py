import pytest
import torch
from lightning.pytorch import Trainer

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.evaluation import bundled_entries
from restore_lightning.data.module import RestorationData
from restore_lightning.degradations import Haze, Jpeg
from restore_lightning.errors import UserError


def module(**arguments):
    factors = {"rain": FactorConfig(crop_size=32), "jpeg": FactorConfig(minibatches=2, batch_size=3)}
    return RestorationData(**{"factors": factors, "batch_size": 2, "crop_size": 64} | arguments)


def batches(data, **trainer):
    data.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", **trainer)
    data.setup("fit")
    return list(data.train_dataloader())


def test_per_factor_batch_and_crop():
    sizes = {(b["factor"], *b["clean"].shape) for b in batches(module(), max_steps=6)}
    assert sizes == {("rain", 2, 3, 32, 32), ("jpeg", 3, 3, 64, 64)}


def test_workers_and_accumulation_do_not_change_the_data():
    plain = batches(module(), max_steps=6)
    with_workers = batches(module(num_workers=2), max_steps=6)
    assert [b["factor"] for b in plain] == [b["factor"] for b in with_workers]
    assert all(torch.equal(a["degraded"], b["degraded"]) for a, b in zip(plain, with_workers, strict=True))
    parts = batches(module(), max_steps=3, accumulate_grad_batches=2)
    assert len(parts) == 6
    assert all(a["factor"] == b["factor"] for a, b in zip(parts[::2], parts[1::2], strict=True))


def test_on_the_device_bytes_become_numbers():
    data = module()
    batch = data.on_after_batch_transfer(batches(data, max_steps=3)[0], 0)
    assert batch["clean"].dtype == torch.float32
    assert 0 <= batch["clean"].min() <= batch["clean"].max() <= 1
    assert batch["factor"] in ("rain", "jpeg")


def test_photographs_are_for_validation_and_test_only():
    data = module(val_crop_size=64)
    data.setup("validate")
    data.setup("test")
    names = {
        split: {item.name for s in sets for item in s.images}
        for split, sets in (("val", data.val_sets), ("test", data.test_sets))
    }
    assert names["val"] == {"coffee", "rocket"}
    assert names["test"] == {"astronaut", "chelsea", "motorcycle"}
    assert data.val_sets[0][0]["clean"].shape == (3, 64, 64)
    assert data.test_sets[0][0]["clean"].shape == (3, 512, 512)


def test_haze_is_tested_where_depth_was_measured():
    data = module(factors={"haze": FactorConfig()})
    data.setup("test")
    assert [image.name for image in data.test_sets[0].images] == [f"motorcycle-{draw}" for draw in range(1, 6)]
    depth = bundled_entries("test", Haze())[0].clean().depth
    assert 2 < depth.min() < depth.max() < 6  # metres
    first, second = data.test_sets[0][0], data.test_sets[0][1]
    assert not torch.equal(first["degraded"], second["degraded"])


def test_evaluation_images_are_the_same_in_every_run_whatever_the_seed():
    sets = []
    for seed in (0, 1):
        data = module(seed=seed)
        data.setup("validate")
        sets.append(data.val_sets)
    assert torch.equal(sets[0][0][1]["degraded"], sets[1][0][1]["degraded"])


def test_a_folder_with_its_own_splits(photos, tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"{split}.png").write_bytes((photos / "a.png").read_bytes())
    data = module(root=str(tmp_path))
    for stage in ("fit", "test"):
        data.setup(stage)
    assert [path.name for path in next(iter(data.training_set.sources.values())).clean.paths] == ["train.png"]
    assert [item.name for item in data.val_sets[0].images] == ["val"]
    assert [item.name for item in data.test_sets[0].images] == ["test"]


def test_validation_images_that_cannot_be_read_are_named_at_the_start(photos, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "good.png").write_bytes((photos / "a.png").read_bytes())
    (tmp_path / "val/broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of 2 files.*broken\.png cannot be read"):
        module(root=str(tmp_path)).setup("fit")


def test_a_degradation_of_ones_own_settings():
    data = module(factors={"blocks": FactorConfig(degradation=Jpeg(qualities=(5,)))})
    assert data.plans["blocks"].degradation.qualities == (5,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": {"fog": FactorConfig()}}, r"unknown factor 'fog'.*rain, blur, jpeg, haze, noise"),
        ({"batch_size": 0, "factors": {"rain": FactorConfig()}}, r"data\.batch_size 0: give at least 1"),
        ({"factors": {"rain": FactorConfig(batch_size=-1)}}, r"data\.factors\.rain\.batch_size -1"),
        ({"factors": {"rain": FactorConfig(crop_size=0)}}, r"data\.factors\.rain\.crop_size 0"),
        ({"factors": {"rain": FactorConfig(minibatches=0)}}, r"data\.factors\.rain\.minibatches 0"),
        ({"factors": {"rain": FactorConfig(protocol="psnr")}}, r"unknown protocol 'psnr'"),
        ({"num_workers": -1}, r"data\.num_workers -1"),
        ({"seed": -1}, r"data\.seed -1"),
    ],
)
def test_wrong_settings(arguments, message):
    with pytest.raises(UserError, match=message):
        module(**arguments)


def test_the_schedule_needs_an_end():
    with pytest.raises(UserError, match="max_steps"):
        batches(module(), max_epochs=1)
