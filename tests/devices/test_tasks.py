"""Every task fits, goes on, validates, tests and restores on a device that is not the CPU, as on the CPU."""

import csv
import json
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.devices.pretended import DEVICE, on_device
from tests.every_task import TASKS

pytestmark = pytest.mark.slow

BETWEEN, STEPS = 4, 8  # of the first run, which logs nothing, and of both; the second one logs once


class Done(NamedTuple):
    """What a task did on the device ("device") and on the CPU ("cpu").

    Args:
        folder: Of both runs.
        reports: Of the commands on the device.
    """

    folder: object
    reports: dict[str, dict]


@pytest.fixture(scope="module", params=TASKS)
def done(request, words, photographs, tmp_path_factory) -> Done:
    """All verbs of a task."""
    folder, made = tmp_path_factory.mktemp(request.param), words(request.param)
    device, cpu = folder / "device", folder / "cpu"
    settled = ("--config", device / "config.yaml", "--trainer.precision", "32-true")
    last = device / "checkpoints/last.ckpt"
    baseline = json.dumps({"itself": {"checkpoint": str(last), "inference": {"self_ensemble": True}}})
    rare = ("--trainer.val_check_interval", STEPS)
    row = (*rare, "--trainer.log_every_n_steps", BETWEEN)
    strict = ("--trainer.log_every_n_steps", 1000, "--trainer.deterministic", "true")
    how = ("--factor", TASKS[request.param].factor) if request.param == "MBN" else ()
    apply = ("apply", last, photographs, *how, "--precision", "float32")
    commands = {
        "fit": made.fit(device, BETWEEN, *DEVICE, *rare, *strict),
        "resume": made.fit(device, STEPS, *DEVICE, *row, "--ckpt_path", "last"),
        "validate": ("validate", *settled),
        "test": ("test", *settled, "--model.inference.tile", 64, "--model.baselines", baseline),
        "apply": (*apply, "--output", folder / "applied", "--device", "pretended"),
        "fit on the CPU": made.fit(cpu, STEPS, *row),
        "apply on the CPU": (*apply, "--output", folder / "applied on the CPU", "--device", "cpu"),
    }
    return Done(folder, dict(zip(commands, on_device(*commands.values()), strict=True)))


def test_each_verb_computes_on_the_device(done):
    """And `fit` by operations that are deterministic there."""
    for verb in ("fit", "resume", "validate", "test", "apply"):
        assert done.reports[verb]["operations"] > 20, verb
    for verb in ("fit on the CPU", "apply on the CPU"):
        assert done.reports[verb]["operations"] == 0, verb


def test_no_step_waits_for_the_device_between_logged_rows(done):
    assert done.reports["fit"]["waits"].get("training step", {}) == {}
    assert done.reports["resume"]["waits"]["training step"]  # it logs a row: waits are seen


def test_the_losses_and_scores_are_those_of_the_cpu(done):
    rows = {}
    for name in ("device", "cpu"):
        with (done.folder / name / "metrics.csv").open() as file:
            read = [row for row in csv.DictReader(file) if int(row["step"]) >= BETWEEN]
        rows[name] = [{key: float(value) for key, value in row.items() if value} for row in read]
    assert len(rows["cpu"]) >= 2  # losses and scores
    assert any("val/psnr" in row for row in rows["cpu"])
    for ours, theirs in zip(rows["device"], rows["cpu"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_test_scores_tiles_and_a_baseline(done):
    (scored,) = json.loads((done.folder / "device/scores.json").read_text())["sets"].values()
    psnr = [scored[version]["psnr"] for version in ("degraded", "restored", "itself")]
    assert np.isfinite(psnr).all()
    assert len(set(psnr)) == 3


def test_images_are_restored_as_on_the_cpu(done, photographs):
    for path in photographs.iterdir():
        ours, theirs = (
            np.asarray(Image.open(done.folder / name / path.name), np.int16)
            for name in ("applied", "applied on the CPU")
        )
        assert abs(ours - theirs).max() <= 1
