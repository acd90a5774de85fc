"""Every task as the command line names it, with networks that are small; for tests of devices."""

import json
from pathlib import Path
from typing import NamedTuple

from tests.conftest import CONF


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
    "MBN": Task("tiny.yaml", ("--model.network.init", "torch"), "blur"),  # restores from the first step on
    "R-MBN": Task("recurrent.yaml", ("--model.init_from", "{step_1}"), "jpeg"),
    "DuRN-U": single("DuRN", preset="U", width=4),
    "DRN": single("DRN", T=2, R=1, width=2),
    "DIN": single("DIN", D=1, B=1, M=2, growth=4, width=4),
    "several factors": Task("mixed.yaml", (), "jpeg"),
    "NAFNet": single("NAFNet", width=4, encoders=[1, 1], middle=1, decoders=[1, 1]),
    "Restormer": single("Restormer", width=4, blocks=[1, 1, 1, 1], heads=[1, 1, 1, 1], refinement=1),
}


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
        given += ["--trainer.devices", "1", "--checkpoint.every_n_train_steps", "0"]
        where = ("--config", CONF / self.task.config, "--trainer.default_root_dir", run, "--trainer.max_steps", steps)
        return ("fit", *where, "--trainer.precision", "32-true", "--trainer.logger", "true", *given, *words)
