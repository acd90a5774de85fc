"""Our jobs on a real Slurm: signalled, requeued, finished, as if nothing had been."""

import shutil
from pathlib import Path

import pytest

from benchmarks.requeue import measure
from tests.conftest import CONF
from tests.killing import WaitForSignal, assert_same_weights
from tests.slurm.cluster import MINUTES

pytestmark = pytest.mark.slow

STEPS, EVERY, STOP = 12, 4, 7
FIT = (
    *("--config", CONF / "single.yaml", "--trainer.max_steps", STEPS, "--trainer.val_check_interval", EVERY),
    *("--trainer.strategy", "auto", "--trainer.logger", "true", "--checkpoint.every_n_train_steps", 100),
    *("--trainer.limit_val_batches", "1.0", "--data.val_crop_size", 32),
)
LAYOUTS = {"2 nodes x 1": ("--nodes=2", "--ntasks-per-node=1"), "1 node x 2": ("--nodes=1", "--ntasks-per-node=2")}


def words(*values):
    return tuple(map(str, values))


def signalled(cluster, layout, step=STOP):
    """A job that waits for a signal after so many steps, and its run."""
    job = cluster.submit("--cpus-per-task=1", *layout, "slurm/fit.sbatch", *words(*FIT), *WaitForSignal.words(step))
    run = Path("runs/fit", job)
    cluster.wait_for_file(job, run / "waiting")
    return job, run


def wandb_ids(run):
    """Id of the W&B run of each start."""
    return [path.name.rsplit("-", 1)[1] for path in run.glob("wandb/offline-run-*")]


@pytest.fixture(scope="module")
def whole(cluster):
    """A run that nobody interrupts."""
    job = cluster.submit("--cpus-per-task=1", *LAYOUTS["1 node x 2"], "slurm/fit.sbatch", *words(*FIT))
    cluster.wait(job, "COMPLETED")
    return cluster.folder / "runs/fit" / job


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_signalled_job_is_requeued_and_goes_on_at_the_next_step(layout, cluster, whole):
    job, run = signalled(cluster, layout)
    cluster.call("scancel", "--signal=USR1", job)
    log = cluster.wait(job, "COMPLETED")
    assert cluster.about(job, "Restarts") == "1"
    assert log.count(f"stopped by SIGUSR1 after step {STOP + 1} of {STEPS}") == 1
    assert f"resuming from {run}/checkpoints/last.ckpt" in log
    assert "Traceback" not in log
    for name in ("last.ckpt", "best.ckpt"):
        assert_same_weights(whole / "checkpoints" / name, cluster.folder / run / "checkpoints" / name)
    metrics = [(folder / "metrics.csv").read_text() for folder in (whole, cluster.folder / run)]
    assert metrics[0] == metrics[1]
    assert len(wandb_ids(cluster.folder / run)) == 2
    assert len(set(wandb_ids(cluster.folder / run))) == 1


def test_a_cancelled_job_is_saved_and_another_one_goes_on(cluster, whole, monkeypatch):
    """SIGTERM reaches every process of the job, W&B's service too."""
    job, run = signalled(cluster, LAYOUTS["1 node x 2"], EVERY - 1)
    cluster.call("scancel", job)
    log = cluster.wait(job, "CANCELLED")
    assert (cluster.folder / run / ".stopped").read_text() == "SIGTERM\n"
    assert f"stopped by SIGTERM after step {EVERY} of {STEPS}" in log
    assert "Traceback" not in log
    monkeypatch.setitem(cluster.environment, "RESTORE_RUN", str(run))
    other = cluster.submit("--cpus-per-task=1", *LAYOUTS["1 node x 2"], "slurm/fit.sbatch", *words(*FIT))
    cluster.wait(other, "COMPLETED")
    for name in ("last.ckpt", "best.ckpt"):
        assert_same_weights(whole / "checkpoints" / name, cluster.folder / run / "checkpoints" / name)
    assert len(set(wandb_ids(cluster.folder / run))) == 1


def test_the_other_jobs(cluster, whole, step_1, photos):
    """Test a run, fine-tune a network, pack a data set."""
    for kind in ("clean", "degraded"):
        shutil.copytree(photos, cluster.folder / "pairs" / kind)
    jobs = {
        "test": ("slurm/test.sbatch", whole, "--trainer.limit_test_batches", 1),
        "finetune": ("slurm/finetune.sbatch", step_1, "--config", CONF / "recurrent.yaml"),
        "pack": ("slurm/pack.sbatch", "pairs", "pairs", "shards"),
    }
    submitted = {name: cluster.submit("--cpus-per-task=1", *words(*job)) for name, job in jobs.items()}
    for job in submitted.values():
        cluster.wait(job, "COMPLETED")
    assert (whole / "scores.json").is_file()
    assert (cluster.folder / "runs/finetune" / submitted["finetune"] / "checkpoints/last.ckpt").is_file()
    assert list((cluster.folder / "shards").glob("*.tar"))


def test_benchmark(cluster):
    report = measure(cluster, repetitions=1, seed=0, seconds=5 * MINUTES)
    assert (report["identical"], report["hung"], report["failed"]) == (1, 0, 0)
