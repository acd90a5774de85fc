"""Jobs on a Slurm cluster: submitted, signalled, waited for; and a cluster on this machine to run them on."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.killing import waited

ROOT = Path(__file__).parents[2]
MINUTES = 60


def slurm_up() -> Path | None:
    """The script that starts a cluster on this machine: $SLURM_UP, or that of the shared folder."""
    shared = os.environ.get("RESTORE_SHARED", ROOT.parent / "shared")
    path = Path(os.environ.get("SLURM_UP", Path(shared, "slurm/slurm-up")))
    return path.resolve() if path.is_file() else None


class Cluster:
    """Submits the jobs of this repository from a folder of their own.

    Args:
        folder: Where they are submitted from, and write.
        environment: Of Slurm's commands.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        shutil.copytree(ROOT / "slurm", folder / "slurm")
        (folder / ".venv").symlink_to(sys.prefix)

    def call(self, *words: str | Path, seconds: float = MINUTES) -> str:
        """What a command prints."""
        command = list(map(str, words))
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def submit(self, *words: str | Path) -> str:
        """`slurm/submit`; the job's number."""
        return self.call("slurm/submit", "--parsable", *words).strip()

    def about(self, job: str, key: str) -> str:
        """An entry of `scontrol show job`."""
        entries = dict(word.partition("=")[::2] for word in self.call("scontrol", "show", "job", "-o", job).split())
        return entries[key]

    def log(self, job: str) -> str:
        """What the job has printed."""
        return "".join(path.read_text() for path in (self.folder / "slurm/logs").glob(f"*-{job}.log"))

    def wait(self, job: str, state: str, seconds: float = 5 * MINUTES) -> str:
        """Wait until the job is in a state; its log."""

        def done() -> bool:
            now = self.about(job, "JobState")
            ended = now not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "CONFIGURING", state)
            assert not ended, f"job {job} is {now}\n{self.log(job)}"
            return now == state

        waited(f"job {job} {state}", done, seconds, lambda: self.log(job))
        return self.log(job)

    def wait_for_file(self, job: str, path: Path, seconds: float = 5 * MINUTES) -> None:
        """Wait until the job has made a file."""

        def done() -> bool:
            assert self.about(job, "JobState") in ("PENDING", "RUNNING"), self.log(job)
            return (self.folder / path).exists()

        waited(f"job {job}: {path}", done, seconds, lambda: self.log(job))


@contextmanager
def local_cluster(up: Path, folder: Path, nodes: int = 2, cpus: int = 2) -> Iterator[Cluster]:
    """A cluster on this machine, for as long as the block lasts.

    Args:
        up: What starts it; `slurm-down` beside it ends it.
        folder: Where jobs are submitted from.
        nodes: Virtual nodes.
        cpus: CPUs of each.
    """
    with tempfile.TemporaryDirectory(prefix="slurm") as state:  # its path must be short
        Path(state).chmod(0o755)  # as munge wants it
        log = Path(state, "up.log")
        try:
            with log.open("w") as output:  # no pipe: daemons may keep it
                command = [up, state, str(nodes), str(cpus)]
                up_code = subprocess.run(
                    command, timeout=5 * MINUTES, stdout=output, stderr=output, check=False
                ).returncode
            assert up_code == 0, log.read_text()
            configuration = Path(state, "env").read_text().partition("SLURM_CONF=")[2].strip()
            # One thread each: the processes share the cores.
            ours = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
            yield Cluster(folder, os.environ | ours | {"SLURM_CONF": configuration})
        finally:
            down = [up.with_name("slurm-down"), state]
            subprocess.run(down, timeout=2 * MINUTES, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
