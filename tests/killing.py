"""A callback that ends its process as a power cut would, or sends it another signal; runs that are compared."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch import Callback

from restore_lightning.runs.signals import received_signal

KILL = int(signal.SIGKILL)  # a plain number, for YAML
Moment = Literal["start", "step", "validation", "after validation", "save"]


def added(callback: type[Callback], **arguments: object) -> list[str]:
    """Options of `restore fit` that add a callback."""
    spec = {"class_path": f"{callback.__module__}.{callback.__qualname__}", "init_args": arguments}
    return ["--trainer.callbacks", json.dumps([spec])]


class KillAt(Callback):
    """A signal at a moment.

    Args:
        step: Optimiser steps that are done.
        moment: Before training, before the next batch, within the first validation from then on, behind it, or while a
            checkpoint is saved: it is written, and not renamed yet.
        number: Of the signal.
    """

    def __init__(self, step: int, moment: Moment, number: int = KILL) -> None:
        self.step = step
        self.moment = moment
        self.number = number

    @classmethod
    def words(cls, step: int, moment: Moment, number: int = KILL) -> list[str]:
        """Options of `restore fit` that add it."""
        return added(cls, step=step, moment=moment, number=int(number))

    def on_fit_start(self, trainer, pl_module):
        replace = Path.replace
        self.undo = lambda: setattr(Path, "replace", replace)

        def watched(path, target):
            if Path(target).suffix == ".ckpt":
                self.reached("save", trainer)
            return replace(path, target)

        Path.replace = watched
        self.reached("start", trainer)

    def teardown(self, trainer, pl_module, stage):
        self.undo()

    def on_exception(self, trainer, pl_module, exception):
        self.undo()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.reached("step", trainer)

    def on_validation_start(self, trainer, pl_module):
        self.images = 0

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.images += 1
        if self.images == 2:
            self.reached("validation", trainer)

    def on_validation_end(self, trainer, pl_module):
        self.reached("after validation", trainer)

    def reached(self, moment, trainer):
        if moment == self.moment and trainer.global_step >= self.step:
            os.kill(os.getpid(), self.number)


def waited(what: str, done: Callable[[], bool], seconds: float, seen: Callable[[], str] = str) -> None:
    """Return once something is done.

    Raises:
        TimeoutError: It was not; with what is seen then.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s\n{seen()}")
        time.sleep(0.2)


class WaitForSignal(Callback):
    """The first start of a run waits for a signal before a step; `<run>/waiting` says that it does.

    Args:
        step: Optimiser steps that are done then.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.resumed = False

    @classmethod
    def words(cls, step: int) -> list[str]:
        """Options of `restore fit` that add it."""
        return added(cls, step=step)

    def on_train_start(self, trainer, pl_module):
        self.resumed = trainer.global_step > 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.is_global_zero and trainer.global_step == self.step and not self.resumed:
            Path(trainer.default_root_dir, "waiting").touch()
            waited("a signal", lambda: received_signal() > 0, seconds=120)


class RaiseAt(Callback):
    """An error, or Ctrl-C for the whole group of processes, in training and in scoring.

    Args:
        batch: Behind which batch.
        rank: Of the process that fails; the others wait for it.
        interrupt: Ctrl-C, in place of an error.
    """

    def __init__(self, batch: int = 1, rank: int = 0, interrupt: bool = False) -> None:
        self.batch = batch
        self.rank = rank
        self.interrupt = interrupt

    @classmethod
    def words(cls, **arguments: int) -> list[str]:
        """Options that add it."""
        return added(cls, **arguments)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == self.batch and trainer.global_rank == self.rank:
            if not self.interrupt:
                raise RuntimeError("a callback of mine")
            os.killpg(os.getpgid(0), signal.SIGINT)

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    on_test_batch_end = on_validation_batch_end


class Allocate(Callback):
    """Asks for more memory than any machine has: in the second step, or at the first image that is scored.

    Args:
        scoring: Whether at an image.
    """

    def __init__(self, scoring: bool = False) -> None:
        self.scoring = scoring

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 1 and not self.scoring:
            torch.empty(2**55, dtype=torch.uint8)

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if self.scoring:
            torch.empty(2**55, dtype=torch.uint8)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end


def members(group: int) -> list[str]:
    """Processes of a group, without those that have ended and were not waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        state, _, of_group = rest.split()[:3]
        if int(of_group) == group and state != "Z":
            found.append(name)
    return found


def assert_same_weights(expected: Path, found: Path) -> None:
    """Two checkpoints of the same step hold the same weights and the same state of the optimiser, bit by bit."""
    one, other = (torch.load(path, weights_only=True) for path in (expected, found))
    assert one["global_step"] == other["global_step"]
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for key, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][key]), key
    for key, state in one["optimizer_states"][0]["state"].items():
        assert all(torch.equal(state[name], other["optimizer_states"][0]["state"][key][name]) for name in state), key
