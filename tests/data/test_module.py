"""Batches of the DataModule."""

import json

import pytest
import torch
from lightning.pytorch import Trainer

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.phases import PhaseConfig
from restore_lightning.errors import UserError
from tests.conftest import CONF
from tests.data.conftest import rain_and_jpeg


def batches(data, **trainer):
    data.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", **trainer)
    data.setup("fit")
    return list(data.train_dataloader())


def test_per_factor_batch_and_crop():
    sizes = {(b["factor"], *b["clean"].shape) for b in batches(rain_and_jpeg(), max_steps=6)}
    assert sizes == {("rain", 2, 3, 32, 32), ("jpeg", 3, 3, 64, 64)}


def test_workers_and_accumulation_do_not_change_the_data():
    plain = batches(rain_and_jpeg(), max_steps=6)
    with_workers = batches(rain_and_jpeg(num_workers=2), max_steps=6)
    assert [b["factor"] for b in plain] == [b["factor"] for b in with_workers]
    assert all(torch.equal(a["degraded"], b["degraded"]) for a, b in zip(plain, with_workers, strict=True))
    halved = {"rain": FactorConfig(crop_size=32, batch_size=1), "jpeg": FactorConfig(minibatches=2, batch_size=2)}
    parts = batches(rain_and_jpeg(factors=halved), max_steps=6, accumulate_grad_batches=2)
    whole = {"rain": FactorConfig(crop_size=32, batch_size=2), "jpeg": FactorConfig(minibatches=2, batch_size=4)}
    for step, batch in enumerate(batches(rain_and_jpeg(factors=whole), max_steps=6)):
        first, second = parts[2 * step : 2 * step + 2]
        assert first["factor"] == second["factor"] == batch["factor"]
        assert torch.equal(torch.cat([first["degraded"], second["degraded"]]), batch["degraded"])


def test_samples_per_step_are_the_same_data_however_they_are_divided(caplog):
    """A factor's own number stands in place of the data's, whichever of the two it is."""
    factors = {"rain": FactorConfig(crop_size=32, samples_per_step=2), "jpeg": FactorConfig(minibatches=2)}
    given = {"factors": factors, "batch_size": None, "samples_per_step": 4}
    with caplog.at_level("INFO"):
        parts = batches(rain_and_jpeg(**given), max_steps=6, accumulate_grad_batches=2)
    (line,) = [message for message in caplog.messages if "samples per step" in message]
    assert line.split("; ") == [
        "rain: 2 samples per step: 1 devices x 1 x 2 accumulated",
        "jpeg: 4 samples per step: 1 devices x 2 x 2 accumulated",
    ]
    whole = batches(rain_and_jpeg(**given), max_steps=6)
    assert {(batch["factor"], len(batch["clean"])) for batch in whole} == {("rain", 2), ("jpeg", 4)}
    for step, batch in enumerate(whole):
        halves = [half["degraded"] for half in parts[2 * step : 2 * step + 2]]
        assert torch.equal(torch.cat(halves), batch["degraded"])


def test_phases_have_crops_and_samples_of_their_own(caplog):
    phases = [PhaseConfig(2, crop_size=16, samples_per_step=4), PhaseConfig(1)]
    with caplog.at_level("INFO"):
        found = batches(rain_and_jpeg(phases=phases), max_steps=8)
    line = "from step 0: 4 samples per step, crops of 16 pixels; from step 2: rain 2 samples per step, jpeg 3 samples"
    assert any(message.startswith(line) for message in caplog.messages)
    assert [batch["clean"].shape for batch in found[:2]] == [(4, 3, 16, 16)] * 2
    assert {(b["factor"], *b["clean"].shape) for b in found[2:]} == {("rain", 2, 3, 32, 32), ("jpeg", 3, 3, 64, 64)}


@pytest.mark.parametrize(("max_steps", "told"), [(6, ["data.phases.2 (from step 6)"]), (7, []), (-1, [])])
def test_phases_that_training_does_not_reach_are_told(caplog, max_steps, told):
    data = rain_and_jpeg(phases=[PhaseConfig(2), PhaseConfig(4), PhaseConfig(1)])
    data.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", max_steps=max_steps)
    data.setup("fit")
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    late = f"trainer.max_steps {max_steps} ends training before"
    assert [line for line in lines if "phases" in line] == [
        f"{late} {each}: give more steps, or leave the rest out" for each in told
    ]


def test_a_step_that_cannot_be_divided_stops_fit_and_nothing_else(restore, step_1, tmp_path):
    words = ("--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path / "run")
    wrong = ("--data.batch_size", "null", "--data.samples_per_step", 3, "--trainer.accumulate_grad_batches", 2)
    code, _, err = restore("fit", *words, *wrong)
    assert code == 2
    assert "data.samples_per_step 3 on 1 devices x 2 accumulated batches: give a multiple of 2, e.g. 2 or 4" in err
    assert restore("validate", *words, *wrong, "--ckpt_path", step_1)[0] == 0


def test_on_the_device_bytes_become_numbers():
    data = rain_and_jpeg()
    batch = data.on_after_batch_transfer(batches(data, max_steps=3)[0], 0)
    assert batch["clean"].dtype == torch.float32
    assert 0 <= batch["clean"].min() <= batch["clean"].max() <= 1
    assert batch["factor"] in ("rain", "jpeg")


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.float32),
        ("64-true", torch.float64),
        ("bf16-true", torch.bfloat16),
    ],
)
def test_crops_have_the_type_of_the_precision(precision, kind):
    """Of the bytes in the widest type at hand; what losses and scores compare with stays in float32 at least."""
    data = rain_and_jpeg()
    batch = batches(data, max_steps=3, precision=precision)[0]
    batch["turns"].zero_()
    data.setup("validate")
    image = next(iter(data.val_dataloader()[0]))
    least = torch.promote_types(kind, torch.float32)
    for before, trained in ((batch, True), (image, False)):
        after = data.on_after_batch_transfer(before, 0)
        for key in ("degraded", "clean"):
            exact = before[key].to(least) / 255
            expected = exact.to(kind) if trained and key == "degraded" else exact
            assert after[key].dtype == expected.dtype
            assert torch.equal(after[key], expected)
            assert after[key].is_contiguous(memory_format=torch.channels_last)


def test_turned_crops_keep_their_channels_last():
    data = rain_and_jpeg(factors={"rain": FactorConfig(augment=["hflip", "vflip", "rot90"])}, batch_size=16)
    batch = data.on_after_batch_transfer(batches(data, max_steps=1)[0], 0)
    assert set(batch["turns"][:, 2].tolist()) == {0, 1, 2, 3}
    assert batch["clean"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_networks_of_other_precisions_train_and_are_scored(restore, small_tests, tmp_path):
    """What is scored beside them are the images themselves, not what the network gets."""
    degraded = []
    for precision, kind in (("64-true", torch.float64), ("bf16-true", torch.bfloat16)):
        words = ("--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path / precision)
        words += ("--trainer.precision", precision, *small_tests)
        code, _, err = restore("fit", *words, "--trainer.max_steps", 4)
        assert code == 0, err
        saved = torch.load(tmp_path / precision / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        assert {tensor.dtype for tensor in saved.values()} == {kind}
        code, _, err = restore("test", *words)
        assert code == 0, err
        scores = json.loads((tmp_path / precision / "scores.json").read_text())["sets"]
        degraded.append([scores[name]["degraded"]["psnr"] for name in ("rain", "blur", "jpeg", "haze")])
    assert degraded[0] == pytest.approx(degraded[1], abs=1e-4)


def test_a_precision_that_cannot_train(restore, tmp_path):
    words = ("--trainer.default_root_dir", tmp_path / "run", "--trainer.precision", "16-true")
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *words)
    assert code == 2
    assert "trainer.precision 16-true" in err


def test_the_schedule_needs_an_end():
    with pytest.raises(UserError, match="max_steps"):
        batches(rain_and_jpeg(), max_epochs=1)


def test_steps_that_validation_would_cut(restore, tmp_path):
    words = ("--trainer.default_root_dir", tmp_path / "run", "--trainer.accumulate_grad_batches", 3)
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *words)
    assert code == 2
    assert "trainer.val_check_interval 4 counts batches, and 3 make a step" in err
    assert restore("fit", "--config", CONF / "tiny.yaml", *words, "--trainer.limit_val_batches", 0)[0] == 0
