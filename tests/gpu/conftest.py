"""What only a GPU shows; elsewhere it is skipped. RESTORE_GPU_TESTS_ON=cpu runs what a CPU can stand in for."""

import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import CONF


@pytest.fixture(scope="session", autouse=True)
def gpu() -> str:
    """The accelerator that is tested."""
    chosen = os.environ.get("RESTORE_GPU_TESTS_ON", "cuda")
    if chosen == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    return chosen


@pytest.fixture
def card(gpu) -> torch.device:
    """For what nothing can stand in for."""
    if gpu != "cuda":
        pytest.skip("needs a CUDA GPU")
    return torch.device("cuda", 0)


@pytest.fixture(scope="session")
def run():
    """Run the command in a process of its own, whose settings of torch end with it: words -> standard error."""

    def done(*words, **environment: str) -> str:
        call = [sys.executable, "-m", "restore_lightning", *map(str, words)]
        given = os.environ | {"RESTORE_DEBUG": "1", "OMP_NUM_THREADS": "1"} | environment
        ended = subprocess.run(
            call, capture_output=True, text=True, timeout=1200, check=False, cwd=CONF.parents[1], env=given
        )
        assert ended.returncode == 0, ended.stderr[-5000:]
        return ended.stderr

    return done
