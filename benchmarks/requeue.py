"""Jobs that are signalled at random moments, on a Slurm cluster that is started for them: does one ever hang?

    python -m benchmarks.requeue [--repetitions 20] [--seed 0]

A fit on two processes, in turn on one node and on two, gets SIGUSR1 once its log has reached a random step: within a
step, a validation or a save, as it happens. It must requeue itself, go on, and end with the weights of a run that
nobody signalled, bit by bit, within `--minutes`. Needs the root user, and SLURM_UP or the shared folder, as the tests
in tests/slurm do. Progress on standard error, one JSON object on standard output: `repetitions`; `identical`, how many
of them ended as they must; `hung`, how many did not end; `failed`, how many ended otherwise; `seconds` of each.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
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
    """Signal so many jobs, two at a time.

    Args:
        cluster: Where they run.
        repetitions: Jobs.
        seed: Of the steps.
        seconds: A job takes at most; after that it counts as hung.
    """
    whole = submitted(cluster, LAYOUTS[0])
    cluster.wait(whole, "COMPLETED", seconds)

    def one(number: int) -> tuple[str, float]:
        start, step = time.monotonic(), random.Random(f"{seed} {number}").randrange(LAST)
        end = signalled(cluster, LAYOUTS[number % len(LAYOUTS)], step, whole, seconds)
        taken = round(time.monotonic() - start, 1)
        print(f"{number + 1}: signalled behind step {step}, {taken} s: {end}", file=sys.stderr, flush=True)
        return end, taken

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(one, range(repetitions)))
    counts = Counter(end if end in ("identical", "hung") else "failed" for end, _ in ends)
    return {
        "repetitions": repetitions,
        **{end: counts[end] for end in ("identical", "hung", "failed")},
        "seconds": [taken for _, taken in ends],
    }


def signalled(cluster: Cluster, layout: tuple[str, ...], step: int, whole: str, seconds: float) -> str:
    """How a job that is signalled behind a step ends: identical to the job `whole`, hung, or what is wrong."""
    job = submitted(cluster, layout)
    try:
        waited(f"step {step} of job {job}", lambda: logged(cluster, job) > step, seconds)
        cluster.call("scancel", "--signal=USR1", job)
        cluster.wait(job, "COMPLETED", seconds)
        if cluster.about(job, "Restarts") != "1":
            return f"job {job} was not requeued"
        for name in ("last.ckpt", "best.ckpt"):
            assert_same_weights(*(cluster.folder / "runs/fit" / each / "checkpoints" / name for each in (whole, job)))
    except TimeoutError as error:
        print(error, file=sys.stderr, flush=True)
        cluster.call("scancel", "--signal=KILL", job)
        return "hung"
    except AssertionError as error:
        return str(error)
    return "identical"


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
