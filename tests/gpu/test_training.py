"""Training on a GPU: exact where it is to be, without waits, on two of them, and back on a CPU."""

import json

import pytest
import torch
from lightning.pytorch import Callback

from tests.every_task import TASKS
from tests.killing import added

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

QUIET = ("--trainer.limit_val_batches", 0, "--trainer.log_every_n_steps", 1000)


class RefuseWaits(Callback):
    """Lets every wait of the host for the device raise, from one step to another; validation and saves are elsewhere.

    Args:
        start: Steps before, in which memory is taken and kernels are chosen.
        end: The first step that may wait again.
    """

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.start:
            torch.cuda.set_sync_debug_mode("error")
        if batch_idx == self.end:
            torch.cuda.set_sync_debug_mode("default")


class WaitOnce(Callback):
    """Waits in one step."""

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == 10:
            next(pl_module.parameters()).sum().item()


def saved(run, name="last"):
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True, map_location="cpu")


def tensors(state) -> list[torch.Tensor]:
    """All tensors of nested dictionaries and lists, in order."""
    if isinstance(state, torch.Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else []
    return [tensor for value in values for tensor in tensors(value)]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("task", TASKS)
def test_a_resumed_run_is_the_same_bit_by_bit(task, precision, gpu, run, words, tmp_path):
    exact = ("--trainer.accelerator", gpu, "--trainer.deterministic", "true", "--trainer.precision", precision)
    for folder, ends in (("whole", [8]), ("parts", [4, 8])):
        for end in ends:
            run(*words(task).fit(tmp_path / folder, end, *exact, *QUIET, "--ckpt_path", "last"))
    whole, parts = saved(tmp_path / "whole"), saved(tmp_path / "parts")
    assert whole["global_step"] == parts["global_step"] == 8
    for key in ("state_dict", "optimizer_states"):
        ours, theirs = tensors(parts[key]), tensors(whole[key])
        assert len(ours) == len(theirs) > 4
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)), key


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_no_step_waits_for_the_device_between_logged_rows(task, precision, card, run, words, tmp_path):
    given = ("--trainer.accelerator", "cuda", "--trainer.precision", precision, *QUIET)
    run(*words(task).fit(tmp_path, 24, *given), *added(RefuseWaits, start=8, end=23))


def test_a_wait_is_seen(card, run, words, tmp_path):
    callbacks = [{"class_path": f"{__name__}.RefuseWaits", "init_args": {"start": 8, "end": 23}}]
    callbacks.append({"class_path": f"{__name__}.WaitOnce"})
    given = ("--trainer.accelerator", "cuda", *QUIET, "--trainer.callbacks", json.dumps(callbacks))
    with pytest.raises(AssertionError, match="synchronizing CUDA operation"):
        run(*words("DRN").fit(tmp_path, 24, *given))


def test_a_run_goes_on_without_the_gpu(gpu, run, words, tmp_path, photographs):
    """With averaged weights; the second process sees no GPU at all."""
    averaging = json.dumps([{"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.5}}])
    made, given = words("MBN"), (*QUIET, "--trainer.callbacks", averaging)
    run(*made.fit(tmp_path / "run", 4, "--trainer.accelerator", gpu, *given))
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    last = tmp_path / "run/checkpoints/last.ckpt"
    run("apply", last, photographs, "--factor", "rain", "--output", tmp_path / "out", "--device", "cpu", **hidden)
    assert len(list((tmp_path / "out").iterdir())) == 2
    on_cpu = ("--trainer.accelerator", "cpu", "--ckpt_path", "last")
    run(*made.fit(tmp_path / "run", 6, *given, *on_cpu), **hidden)
    assert saved(tmp_path / "run")["global_step"] == 6
    run(*made.fit(tmp_path / "run", 8, "--trainer.accelerator", gpu, "--ckpt_path", "last", *given))
    assert saved(tmp_path / "run")["global_step"] == 8


def test_two_devices_train_as_one_with_twice_the_batch(gpu, run, words, tmp_path):
    if gpu == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA GPUs")
    given = ("--trainer.accelerator", gpu, "--trainer.deterministic", "true", *QUIET)
    for devices in (1, 2):
        batch = ("--trainer.devices", devices, "--data.batch_size", 4 // devices)
        run(*words("MBN").fit(tmp_path / str(devices), 20, *given, *batch))
    one, two = saved(tmp_path / "1"), saved(tmp_path / "2")
    assert one["global_step"] == two["global_step"] == 20
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=0, atol=1e-4)


def test_compiled_graphs_are_made_once(card, run, words, tmp_path):
    """Three cycles compile as often as one."""
    given = ("--trainer.accelerator", "cuda", *QUIET, "--model.compile", "true")
    made = {
        steps: run(*words("MBN").fit(tmp_path / str(steps), steps, *given), TORCH_LOGS="graph_code").count(
            "TRACED GRAPH"
        )
        for steps in (4, 12)
    }
    assert made[12] == made[4] > 0
