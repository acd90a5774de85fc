"""Too little memory: it is recognised, and what is told to do about it would help."""

import pytest
import torch

from restore_lightning.runs.memory import is_out_of_memory
from tests.conftest import CONF, fitted
from tests.killing import Allocate, added

MEMORY = (
    torch.OutOfMemoryError("Allocation on device 0 would exceed allowed memory."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.9 GB, other allocations: 128 KB, max allowed: 9 GB)."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to"
                 " allocate 4194304000 bytes."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you"
                 " tried to allocate 36028797018963968 bytes. Error code 12 (Cannot allocate memory)"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
)  # fmt: skip
OTHER = (
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous"
                 " input."),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    ValueError("out of memory"),
)  # fmt: skip


def test_errors_of_memory_are_told_from_others():
    assert [error for error in MEMORY if not is_out_of_memory(error)] == []
    assert [error for error in OTHER if is_out_of_memory(error)] == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint to score."""
    words = ("--trainer.max_steps", 1, "--trainer.limit_val_batches", 0)
    return fitted(CONF / "single.yaml", tmp_path_factory.mktemp("trained"), *words)


BATCH = "for a batch of {} crops of 16 pixels of factor rain: "
CROP = "make data.factors.rain.crop_size (or data.crop_size) smaller"
SMALLER = (
    "make data.factors.rain.batch_size (or data.batch_size) smaller, and give --trainer.accumulate_grad_batches as many"
    f" times more, which keeps the samples of a step, or {CROP}"
)
MORE = f"give --trainer.accumulate_grad_batches {{}} or more, which keeps the samples of a step, or {CROP}"
TILES = "restore them in tiles by --model.inference.tile, smaller than "
STATED = ("--data.batch_size", "null", "--data.samples_per_step")


@pytest.mark.parametrize(
    ("verb", "words", "told"),
    [
        ("fit", (), BATCH.format(2) + SMALLER),
        ("fit", ("--data.batch_size", 1), BATCH.format(1) + CROP),
        ("fit", (*STATED, 2), BATCH.format(2) + MORE.format(2)),
        ("fit", (*STATED, 9, "--trainer.val_check_interval", 3), BATCH.format(9) + MORE.format(3)),
        (
            "fit",
            (),
            "to restore validation images: cut the images smaller by --data.val_crop_size than 32, or " + TILES,
        ),
        ("validate", ("--data.val_crop_size", 11, "--model.inference.tile", 16), "validation images: " + TILES + "16"),
        ("validate", ("--data.val_crop_size", "null"), "smaller by --data.val_crop_size, they are whole now, or "),
        ("test", (), "to restore test images: " + TILES + "the images"),
        ("predict", ("--model.inference.tile", 24), "to restore test images: " + TILES + "24"),
    ],
)
def test_what_would_help_is_told(verb, words, told, trained, restore, tmp_path):
    checkpoint = () if verb == "fit" else ("--ckpt_path", trained)
    failing = added(Allocate, scoring="images" in told or verb == "validate")
    run = ("--config", CONF / "single.yaml", "--trainer.default_root_dir", tmp_path)
    code, _, err = restore(verb, *run, *checkpoint, *words, *failing)
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith(f"restore {verb}: ")]
    assert line.startswith(f"restore {verb}: not enough memory ")
    assert told in line
    if "batch of" in told:
        assert line.endswith(told)


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        (
            "null",
            "for a batch of 4 crops of 16 pixels: give --trainer.accumulate_grad_batches 2 or more, which keeps the"
            " samples of a step, or make data.crop_size smaller",
        ),
        (
            "[{steps: 1, samples_per_step: 9}, {steps: 3, crop_size: null, samples_per_step: null}]",
            "for a batch of 4 crops of 16 pixels: make data.samples_per_step smaller, or make data.crop_size smaller",
        ),
        (
            "[{steps: 4, crop_size: 16}]",
            "of phase 0: make data.phases.0.crop_size smaller, or give more --trainer.accumulate_grad_batches",
        ),
    ],
)
def test_what_would_help_where_batches_mix_factors(phases, told, restore, tmp_path):
    words = ("--data.phases", phases, "--trainer.default_root_dir", tmp_path, *added(Allocate, scoring=False))
    code, _, err = restore("fit", "--config", CONF / "mixed.yaml", *words)
    assert code == 1
    assert err.strip().splitlines()[-1].endswith(told)
