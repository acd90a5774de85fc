"""The processor cores that a verb may use."""

import os


def usable_cores() -> int:
    """How many cores this process may use: those that a container or Slurm left it, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
