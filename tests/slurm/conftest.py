"""A Slurm cluster on this machine."""

import os

import pytest

from tests.conftest import missing
from tests.slurm.cluster import local_cluster, slurm_up


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two nodes of two CPUs."""
    up = slurm_up()
    if up is None:
        missing("slurm-up, which starts a Slurm cluster on this machine (set SLURM_UP)")
    if os.getuid() != 0:
        missing("the root user, who alone can start a Slurm cluster")
    with local_cluster(up, tmp_path_factory.mktemp("submitted")) as started:
        yield started
