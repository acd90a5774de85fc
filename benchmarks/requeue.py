"""Jobs that are signalled at random moments, on a Slurm cluster that is started for them: does one ever hang?

    python -m benchmarks.requeue [--repetitions 20] [--seed 0]

A fit on two processes, in turn on one node and on two, gets SIGUSR1 once its log has reached a random step: within a
step, a validation or a save, as it happens. It must requeue itself, go on, and end with the weights of a run that
nobody signalled, bit by bit, within `--minutes`. Needs the root user, and SLURM_UP or the shared folder, as the tests
in tests/slurm do. Progress on standard error, one JSON object on standard output: `repetitions`; `identical`, how many
of them ended as they must; `hung`, how many did not end; `failed`, what the others did; `seconds` of each.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.conftest import CONF
from tests.killing import assert_same_weights, waited
from tests.slurm.cluster import MINUTES, Cluster, local_cluster, slurm_up

STEPS, LAST = 30, 20
LAYOUTS = (("--nodes=1", "--ntasks-per-node=2"), ("--nodes=2", "--ntasks-per-node=1"))
FIT = (
    *("slurm/fit.sbatch", "--config", str(CONF / "single.yaml"), "--trainer.max_steps", str(STEPS)),
    *("--trainer.val_check_interval", "5", "--trainer.log_every_n_steps", "1", "--checkpoint.every_n_train_steps", "3"),
    *("--trainer.logger", "true", "--trainer.strategy", "auto"),
)


def measure(cluster: Cluster, repetitions: int, seed: int, seconds: float) -> dict[str, Any]:
    """Signal so many jobs.

    Args:
        cluster: Where they run.
        repetitions: Jobs.
        seed: Of the steps.
        seconds: A job takes at most; after that it counts as hung.
    """
    draw = random.Random(seed)
    report: dict[str, Any] = {"repetitions": repetitions, "identical": 0, "hung": 0, "failed": [], "seconds": []}
    whole = submitted(cluster, LAYOUTS[0])
    cluster.wait(whole, "COMPLETED", seconds)
    for number in range(repetitions):
        start, step = time.monotonic(), draw.randrange(LAST)
        job = submitted(cluster, LAYOUTS[number % len(LAYOUTS)])
        try:
            waited(f"step {step} of job {job}", lambda job=job, step=step: logged(cluster, job) > step, seconds)
            cluster.call("scancel", "--signal=USR1", job)
            cluster.wait(job, "COMPLETED", seconds)
            if cluster.about(job, "Restarts") != "1":
                raise AssertionError(f"job {job} was not requeued")
            for name in ("last.ckpt", "best.ckpt"):
                assert_same_weights(
                    *(cluster.folder / "runs/fit" / each / "checkpoints" / name for each in (whole, job))
                )
            report["identical"] += 1
        except TimeoutError as error:
            report["hung"] += 1
            print(error, file=sys.stderr, flush=True)
            cluster.call("scancel", "--signal=KILL", job)
        except AssertionError as error:
            report["failed"].append(str(error))
        report["seconds"].append(round(time.monotonic() - start, 1))
        print(f"{number + 1}: signalled at step {step}, {report['seconds'][-1]} s", file=sys.stderr, flush=True)
    return report


def submitted(cluster: Cluster, layout: tuple[str, ...]) -> str:
    """A job's number."""
    return cluster.submit("--cpus-per-task=1", *layout, *FIT)


def logged(cluster: Cluster, job: str) -> int:
    """Rows of the job's metrics.csv: one for each step, and more."""
    path = Path(cluster.folder, "runs/fit", job, "metrics.csv")
    return len(path.read_text().splitlines()) - 1 if path.exists() else -1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20, help="jobs (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the steps (default 0)")
    parser.add_argument("--minutes", type=float, default=5, help="a job takes at most (default 5)")
    options = parser.parse_args()
    up = slurm_up()
    if up is None:
        parser.error("there is no slurm-up: name one by SLURM_UP")
    with tempfile.TemporaryDirectory() as folder, local_cluster(up, Path(folder)) as cluster:
        report = measure(cluster, options.repetitions, options.seed, options.minutes * MINUTES)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
