"""The job scripts with stand-ins for Slurm's commands: what they call, and when they requeue."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import missing
from tests.slurm.cluster import ROOT

SCRIPTS = sorted(path.name for path in (ROOT / "slurm").iterdir() if path.is_file())
STAND_INS = {
    "sbatch": 'echo "sbatch $*"',
    "scontrol": '[ "$1" != show ] || { echo "JobId=$3 Requeue=$REQUEUE"; exit; }; echo "scontrol $*"',
    "srun": 'echo "srun $*"; [ -z "$STOPPED" ] || echo "$STOPPED" >runs/fit/7/.stopped; exit "$CODE"',
}
JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "fit", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4"}
FIT = ("slurm/fit.sbatch", "--config", "mbn.yaml")
REQUEUED = "scontrol requeue 7"


@pytest.fixture
def call(tmp_path):
    """Run a script in a folder of its own: words -> (exit code, output)."""
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    (tmp_path / "runs/fit/7").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    for name, text in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    base = JOB | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "REQUEUE": "1", "STOPPED": "", "CODE": "0"}

    def run(*words, **environment):
        done = subprocess.run(
            ["bash", *words],
            cwd=tmp_path,
            env=base | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    run.folder = tmp_path
    return run


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_clean(name):
    subprocess.run(["bash", "-n", f"slurm/{name}"], cwd=ROOT, check=True, timeout=60)
    shellcheck = shutil.which("shellcheck", path=f"{sys.prefix}/bin:{os.environ['PATH']}")
    if shellcheck is None:
        missing("shellcheck")
    done = subprocess.run(
        [shellcheck, "--external-sources", f"slurm/{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_submit_as_it_is_asks_for_no_gpu(call):
    assert call("slurm/submit", "--nodes=2", *FIT) == (
        0,
        "sbatch --ntasks-per-node=1 --cpus-per-task=2 --nodes=2 slurm/fit.sbatch --config mbn.yaml\n",
    )


@pytest.mark.parametrize(
    ("job", "options"),
    [
        ("fit", "--ntasks-per-node=4 --cpus-per-task=6 --gres=gpu:4"),
        ("finetune", "--ntasks-per-node=4 --cpus-per-task=6 --gres=gpu:4"),
        ("test", "--ntasks-per-node=1 --cpus-per-task=6 --gres=gpu:1"),
        ("sweep", "--ntasks-per-node=1 --cpus-per-task=6 --gres=gpu:1"),
        ("pack", "--ntasks-per-node=1"),
    ],
)
def test_submit_asks_for_what_the_site_says(job, options, call):
    with (call.folder / "slurm/site.sh").open("a") as site:
        site.write("partition=long\naccount=vision\ntime=8:00:00\ngpus=4\ncpus=6\n")
    site_options = "--partition=long --account=vision --time=8:00:00"
    assert call("slurm/submit", f"slurm/{job}.sbatch", "word") == (
        0,
        f"sbatch {options} {site_options} slurm/{job}.sbatch word\n",
    )


@pytest.mark.parametrize("words", [(), ("--nodes=2",), ("slurm/fitt.sbatch",)])
def test_submit_says_what_it_takes(words, call):
    code, output = call("slurm/submit", *words)
    assert code == 2
    assert "slurm/submit [sbatch options] JOB.sbatch [words]" in output
    assert "slurm/fit.sbatch" in output


@pytest.mark.parametrize("script", ["slurm/submit", "slurm/fit.sbatch"])
def test_another_folder_is_refused(script, call):
    (call.folder / "elsewhere").mkdir()
    done = subprocess.run(
        ["bash", "-c", f"cd elsewhere && mkdir slurm && cp ../slurm/job.sh slurm && bash ../{script}"],
        cwd=call.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "submit from the folder that holds slurm/" in done.stderr


def test_fit_runs_on_every_process_of_the_job(call):
    assert call(*FIT) == (
        0,
        "srun --kill-on-bad-exit=1 restore fit --config mbn.yaml --ckpt_path last"
        " --trainer.default_root_dir runs/fit/7 --trainer.num_nodes 2 --trainer.devices 4\n",
    )


@pytest.mark.parametrize(
    ("environment", "run"),
    [
        ({"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}, "runs/fit/5_2"),
        ({"SLURM_JOB_NAME": "mbn"}, "runs/mbn/7"),
        ({"RESTORE_RUN": "runs/earlier"}, "runs/earlier"),
    ],
)
def test_the_run_directory_is_the_jobs_or_the_given_one(environment, run, call):
    assert f"--trainer.default_root_dir {run} " in call(*FIT, **environment)[1]


@pytest.mark.parametrize(
    ("stopped", "code", "requeued"),
    [
        ("", "0", False),
        ("", "1", False),
        ("SIGUSR1", "138", True),
        ("SIGUSR1", "143", True),  # srun's code is another process's
        ("", "138", True),  # the signal came before Python could note it
        ("SIGTERM", "143", False),  # Slurm requeues, or somebody cancelled
    ],
)
def test_only_a_job_that_sigusr1_stopped_is_requeued(stopped, code, requeued, call):
    assert (REQUEUED in call(*FIT, STOPPED=stopped, CODE=code)[1]) == requeued
    assert call(*FIT, STOPPED=stopped, CODE=code)[0] == (0 if requeued else int(code))


def test_a_task_of_an_array_requeues_itself_alone(call):
    """One task of each array has the number of the whole array."""
    array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    (call.folder / "runs/fit/7_3").mkdir()
    code, output = call(*FIT, **array, CODE="138")
    assert code == 0
    assert output.splitlines()[-1] == "scontrol requeue 7_3"


def test_a_limit_too_short_for_a_start_is_no_endless_loop(call):
    assert REQUEUED in call(*FIT, CODE="138", SLURM_RESTART_COUNT="9")[1]
    code, output = call(*FIT, CODE="138", SLURM_RESTART_COUNT="10")
    assert code == 138
    assert REQUEUED not in output


@pytest.mark.parametrize("word", ["--ckpt_path", "--ckpt_path=best.ckpt", "--trainer.default_root_dir=runs/x"])
def test_what_the_job_gives_itself_is_refused(word, call):
    code, output = call(*FIT, word, "x")
    assert code == 2
    assert "the job gives it; RESTORE_RUN=FOLDER before slurm/submit goes on with a run" in output


def test_gpus_of_one_job(call):
    assert "--gres=gpu:2 " in call("slurm/submit", *FIT, gpus="2")[1]


def test_an_earlier_stop_does_not_count(call):
    """A start that fails is not requeued for ever."""
    (call.folder / "runs/fit/7/.stopped").write_text("SIGUSR1\n")
    code, output = call(*FIT, CODE="1")
    assert code == 1
    assert REQUEUED not in output


def test_a_job_that_may_not_be_requeued_ignores_the_signal(call):
    code, output = call(*FIT, REQUEUE="0")
    assert code == 0
    assert "this job may not be requeued" in output
    assert """srun --kill-on-bad-exit=1 bash -c trap "" USR1; exec "$@" bash restore fit""" in output


@pytest.mark.parametrize(
    ("script", "words", "called"),
    [
        (
            "finetune",
            ("runs/fit/5/best.ckpt", "--config", "r_mbn.yaml"),
            "fit --config r_mbn.yaml --model.init_from runs/fit/5/",
        ),
        ("test", ("runs/fit/5", "--data.root", "d"), "restore test --config runs/fit/5/config.yaml --data.root d"),
        ("sweep", ("me/restore/abc",), "srun wandb agent me/restore/abc"),
        ("pack", ("gopro", "G", "out"), "restore shards pack gopro G out --workers 8"),
    ],
)
def test_the_words_go_to_the_command(script, words, called, call):
    code, output = call(f"slurm/{script}.sbatch", *words, SLURM_CPUS_PER_TASK="8")
    assert code == 0
    assert called in output


@pytest.mark.parametrize(
    ("script", "message"),
    [("finetune", "a checkpoint of step 1"), ("test", "the folder of a run"), ("sweep", "name the sweep")],
)
def test_a_missing_word_is_named(script, message, call):
    code, output = call(f"slurm/{script}.sbatch")
    assert code != 0
    assert message in output
    assert "srun " not in output
