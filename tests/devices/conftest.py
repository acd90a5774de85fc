"""Every task on the pretended device, each once, beside the same on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from skimage import data

from tests.conftest import CONF

DEVICE = ("--trainer.accelerator", "pretended", "--trainer.strategy", "pretended")


def on_device(*commands, float64: bool = True) -> list[dict]:
    """Commands of `restore` in one process that has the pretended device -> what each of them counted."""
    words = [str(word) for command in commands for word in ("then", *command)][1:]
    call = [sys.executable, "-m", "tests.pretended_gpu", *(() if float64 else ("--without-float64",)), *words]
    # One thread, as this process has.
    where = {"cwd": CONF.parents[1], "env": os.environ | {"OMP_NUM_THREADS": "1", "RESTORE_DEBUG": "1"}}
    done = subprocess.run(call, capture_output=True, text=True, timeout=1200, check=False, **where)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1])


class Task(NamedTuple):
    """A task as the command line names it.

    Args:
        config: Of tests/conf.
        words: That choose the network.
        factor: Of its validation and test images.
    """

    config: str
    words: tuple[str, ...]
    factor: str


def single(name: str, **arguments) -> Task:
    network = {"class_path": f"restore_lightning.networks.{name}", "init_args": arguments}
    return Task("single.yaml", ("--model.network", json.dumps(network), "--data.crop_size", "32"), "rain")


TASKS = {
    "MBN": Task("tiny.yaml", (), "blur"),
    "R-MBN": Task("recurrent.yaml", ("--model.init_from", "{step_1}"), "jpeg"),
    "DuRN-U": single("DuRN", preset="U", width=4),
    "DRN": single("DRN", T=2, R=1, width=2),
    "DIN": single("DIN", D=1, B=1, M=2, growth=4, width=4),
    "NAFNet": single("NAFNet", width=4, encoders=[1, 1], middle=1, decoders=[1, 1]),
    "Restormer": single("Restormer", width=4, blocks=[1, 1, 1, 1], heads=[1, 1, 1, 1], refinement=1),
}


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A folder of two small photographs, of no network's favourite size."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, image in (("cat", data.chelsea()[100:172, 100:190]), ("cup", data.coffee()[100:172, 200:290])):
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


class Words(NamedTuple):
    """Command lines of one task, whatever the device."""

    task: Task
    photographs: Path
    step_1: Path

    def fit(self, run: Path, steps: int, *words) -> tuple:
        """Train up to a step; scored are small photographs, in float32."""
        given = [word.replace("{step_1}", str(self.step_1)) for word in self.task.words]
        sets = json.dumps({"own": {"clean": str(self.photographs), "factor": self.task.factor}})
        given += ["--data.val_sets", sets, "--data.test_sets", sets, "--data.val_crop_size", "null"]
        given += ["--trainer.limit_val_batches", "2", "--trainer.limit_test_batches", "1"]
        where = ("--config", CONF / self.task.config, "--trainer.default_root_dir", run, "--trainer.max_steps", steps)
        return ("fit", *where, "--trainer.precision", "32-true", "--trainer.logger", "true", *given, *words)


@pytest.fixture(scope="session")
def words(photographs, step_1):
    """Task -> its command lines."""
    return lambda name: Words(TASKS[name], photographs, step_1)
