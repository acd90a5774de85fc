"""The benchmarks run and print what they promise; how fast is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = {
    "apply.py": ("--images", "1", "--rounds", "1", "--width", "2", "--cases", "order", "tiles"),
    "candidates.py": ("--candidates", "width 8", "--seconds", "1", "--rounds", "1", "--images", "1"),
    "export.py": ("--networks", "DuRN-P", "--width", "2", "--side", "32"),
    "loading.py": ("--pairs", "2", "--batches", "6", "--rounds", "1"),
    "scoring.py": ("--images", "2", "--rounds", "1"),
    "training_step.py": ("--cases", "MBN, quickstart", "--rounds", "1"),
    "recurrent_memory.py": ("--batch", "1", "--size", "64", "--width", "4"),
}

# tests/slurm, tests/test_on_gpu.py: they need more than a machine like any; leaks.py needs photographs.
ELSEWHERE = {"requeue.py", "on_gpu.py", "leaks.py"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.name for path in sorted(BENCHMARKS.glob("*.py")) if path.name not in ELSEWHERE])
def test_benchmark(name):
    command = [sys.executable, str(BENCHMARKS / name), *SMALL[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ratio"] > 0
    if name == "recurrent_memory.py":
        assert report["ratio"] > 1  # of memory
        assert report["recomputed"]["saved_MiB"] < report["plain"]["saved_MiB"] / 3
        assert report["gradients"] <= 1e-6
