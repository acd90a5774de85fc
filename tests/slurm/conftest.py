"""A Slurm cluster on this machine."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.killing import waited
from tests.slurm.cluster import MINUTES, local_cluster, slurm_up


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of two CPUs; xdist's processes have it in turn, as there can be one cluster on a machine."""
    up = slurm_up()
    if up is None:
        missing("slurm-up, which starts a Slurm cluster on this machine (set SLURM_UP)")
    if os.getuid() != 0:
        missing("the root user, who alone can start a Slurm cluster")
    with Path(tempfile.gettempdir(), "restore-slurm-tests.lock").open("w") as lock:
        waited("the cluster of another process", lambda: locked(lock), 20 * MINUTES)
        with local_cluster(up, tmp_path_factory.mktemp("submitted")) as started:
            yield started


def locked(file) -> bool:
    """Whether the file is this process's now."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
