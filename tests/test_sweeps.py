"""The shipped W&B sweeps: accepted by W&B's engine and by the command, and run by W&B's agent."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sweeps
import torch
import yaml
from sweeps.config import schema_violations_from_proposed_config
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from restore_lightning.architecture_search import SEARCHES
from restore_lightning.shipped_configs import FOLDER
from tests.conftest import CONF

SWEEPS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("sweeps/*.yaml"))}
ALL, FIRST = ["rain", "blur", "jpeg", "haze"], ["blur", "haze", "rain"]
TINY = CONF / "tiny.yaml"
LONG = {name for name in SWEEPS if name in ("recurrent_order", "output_hierarchy")}
BY_NAME = [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in SWEEPS]


def proposed(sweep, most=1000):
    """What the engine proposes, one after another, as W&B's server sends it: all of a grid."""
    np.random.seed(0)
    runs = []
    while len(runs) < most:
        run = sweeps.next_run(sweep, runs, validate=True)
        if run is None:
            break
        run.config = json.loads(json.dumps(run.config, default=lambda number: number.item()))
        run.state, run.history = sweeps.RunState.finished, [{sweep["metric"]["name"]: 30 + np.random.rand()}]
        runs.append(run)
    return runs


def words(sweep, run):
    """The words after `restore` that W&B's agent makes of a run."""
    arguments = create_sweep_command_args({"args": run.config})["args"]
    command = [
        word
        for part in create_sweep_command(list(sweep["command"]))
        for word in {"${env}": ["/usr/bin/env"], "${args}": arguments}.get(part, [part])
    ]
    assert command[:2] == ["/usr/bin/env", "restore"]
    return command[2:]


def taken(config, key):
    """A dotted key's value in the complete config of a run."""
    for name in key.split("."):
        config = config[name] if name in config else config["init_args"][name]
    return config


def candidates(name, key):
    return [yaml.safe_load(value) for value in SWEEPS[name]["parameters"][key]["values"]]


def test_the_sweeps_are_these():
    assert set(SWEEPS) == {
        *("attention", "connection_style", "loss_weights", "aio3_equal_budget"),
        *("recurrent_order", "recurrent_order_stage_1", "recurrent_order_stage_2"),
        *("output_hierarchy", "output_hierarchy_stage_1", "output_hierarchy_stage_2"),
    }


@pytest.mark.parametrize("name", SWEEPS)
def test_the_engine_accepts(name):
    sweep = SWEEPS[name]
    assert schema_violations_from_proposed_config(sweep) == []
    assert sweep["metric"] == {"name": "val/psnr", "goal": "maximize"}
    assert f"--trainer.default_root_dir=runs/sweeps/{name}" in sweep["command"]
    expected = {"attention": 8, "connection_style": 3, "loss_weights": 12, "recurrent_order": 24}
    expected |= {"output_hierarchy": 24, "recurrent_order_stage_1": 6, "recurrent_order_stage_2": 4}
    expected |= {"aio3_equal_budget": 3, "output_hierarchy_stage_1": 13, "output_hierarchy_stage_2": 7}
    assert len({str(run.config) for run in proposed(sweep, 12 if name == "loss_weights" else 1000)}) == expected[name]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_command_accepts_every_run(name, restore, instantiated, monkeypatch, tmp_path):
    """Everything is made, nothing run; each parameter arrives as what it is."""
    monkeypatch.chdir(tmp_path)
    more = ["--trainer.logger=false", "--trainer.accelerator=cpu"]
    if name != "connection_style":
        more.append("--model.network.width=2")
    runs = proposed(SWEEPS[name], 4 if name == "loss_weights" else 1000)
    for run in runs:
        code, _, err = restore(*words(SWEEPS[name], run), *more)
        assert code == 0, err
        config = instantiated[-1].config["fit"]
        for key, parameter in run.config.items():
            value = parameter["value"]
            if key == "model.network":
                assert taken(config, key).class_path == f"restore_lightning.networks.{value}"
                continue
            assert taken(config, key) == (yaml.safe_load(value) if isinstance(value, str) else value), key
        if "early_terminate" in SWEEPS[name]:
            validations = config.trainer.max_steps // config.trainer.val_check_interval
            assert SWEEPS[name]["early_terminate"]["min_iter"] < validations / 2  # there is something to save
    assert len(instantiated) == len(runs)


@pytest.mark.parametrize("name", [name for name in SWEEPS if "early_terminate" in SWEEPS[name]])
def test_early_termination_stops_the_worst(name):
    sweep, length = SWEEPS[name], SWEEPS[name]["early_terminate"]["min_iter"] + 1
    runs = [
        sweeps.SweepRun(name=str(psnr), state=sweeps.RunState.running, sampledHistory=[{"val/psnr": psnr}] * length)
        for psnr in (28.0, 29.0, 30.0, 31.0)
    ]
    assert [run.name for run in sweeps.stop_runs(sweep, runs)] == ["28.0"]
    for run in runs:
        run.history = run.history[1:]
    assert sweeps.stop_runs(sweep, runs) == []  # too early


@pytest.mark.parametrize(
    ("name", "best", "key"),
    [
        ("recurrent_order", ["haze", "blur", "rain"], "model.order"),
        ("output_hierarchy", ["rain", "blur", "haze"], "model.network.hierarchy"),
    ],
)
def test_candidates_are_those_of_restore_search(name, best, key):
    search = SEARCHES[name]
    assert search.key == f"--{key}"
    assert candidates(f"{name}_stage_1", key) == search.first(FIRST)
    assert best in candidates(f"{name}_stage_1", key)
    assert candidates(f"{name}_stage_2", key) == search.insert(best, "jpeg")
    every = [arrangement for arrangement in search.first(ALL) if all(isinstance(level, str) for level in arrangement)]
    assert sorted(candidates(name, key)) == sorted(every)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_parameter_that_the_command_does_not_know(name, restore):
    sweep = {**SWEEPS[name], "parameters": {**SWEEPS[name]["parameters"], "model.l2_wait": {"value": 1.0}}}
    code, _, err = restore(*words(sweep, sweeps.next_run(sweep, [])))
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
    assert "Task: Option 'l2_wait' is not accepted" in line


@pytest.mark.slow
def test_each_run_of_a_sweep_has_a_folder(restore, monkeypatch, tmp_path):
    given = ("fit", "--config", TINY, "--trainer.default_root_dir", tmp_path, "--ckpt_path=last")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    for run in ("a", "b"):  # two agents
        monkeypatch.setenv("WANDB_RUN_ID", run)
        code, out, err = restore(*given, "--trainer.max_steps", 1)
        assert code == 0, err
        assert f"next: restore test --config {tmp_path / run / 'config.yaml'}" in out
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    code, _, err = restore(*given, "--trainer.max_steps", 2)  # W&B starts b again
    assert code == 0, err
    assert "resuming from" in err
    code, _, err = restore("validate", "--config", tmp_path / "a/config.yaml")
    assert code == 0, err
    monkeypatch.delenv("WANDB_SWEEP_ID")  # WANDB_RUN_ID alone: a job that goes on with its run
    assert restore(*given, "--trainer.max_steps", 1)[0] == 0
    assert (tmp_path / "checkpoints/last.ckpt").is_file()


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """Run W&B's agent on a sweep: -> the ids of its runs, how many failed, and what it printed."""
    root = str(CONF.parents[1])
    for name in [name for name in os.environ if name.startswith("WANDB_") and name != "WANDB_MODE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((root, os.environ.get("PYTHONPATH", ""))))

    def run(sweep, most, *stopped):
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
        command = [sys.executable, "-m", "tests.sweep_agent", "sweep.yaml", str(most), *stopped]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        return told["runs"], told["failed"], done.stderr

    return run


def tiny(sweep, steps=4):
    """A sweep of the smallest runs instead of a config's."""
    command = [str(TINY) if str(word).endswith(".yaml") else word for word in sweep["command"]]
    command[-1:] = ["--trainer.logger=true", f"--trainer.max_steps={steps}", "${args}"]
    return {**sweep, "command": command}


def rows(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_agent_runs_a_sweep(agent, tmp_path):
    """Bayesian search over the loss weights: the engine reads the score of the first run before the second."""
    runs, failed, _ = agent(tiny(SWEEPS["loss_weights"]), 2)
    assert (runs, failed) == (["run-1", "run-2"], 0)
    folder = tmp_path / "runs/sweeps/loss_weights"
    assert {path.name for path in folder.iterdir()} == set(runs)
    keys, seen = list(SWEEPS["loss_weights"]["parameters"]), set()
    for run in runs:
        config = yaml.safe_load((folder / run / "config.yaml").read_text())
        assert config["trainer"]["default_root_dir"] == f"runs/sweeps/loss_weights/{run}"
        seen.add(tuple(taken(config, key) for key in keys))
        assert torch.load(folder / run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    assert len(seen) == 2
    (recorded,) = (folder / run).glob(f"wandb/offline-run-*/run-{run}.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(recorded.parent)]
    text = subprocess.run(inspect, capture_output=True, text=True, check=True, timeout=120).stdout
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    (logged,) = (h["val/psnr"] for line in lines if "val/psnr" in (h := line.get("history", {}).get("item", {})))
    (written,) = [float(row["val/psnr"]) for row in rows(folder / run) if row["val/psnr"]]
    assert logged == pytest.approx(written)
    assert all(key in text for key in keys)  # as W&B shows them


@pytest.mark.slow
def test_the_agent_goes_on_after_early_termination(agent, tmp_path):
    sweep = tiny(SWEEPS["loss_weights"])
    sweep |= {"method": "grid", "parameters": {"trainer.max_steps": {"values": [400, 4]}}}
    runs, _, err = agent(sweep, 5, "run-1")
    assert runs == ["run-1", "run-2"], err
    folder = tmp_path / "runs/sweeps/loss_weights"
    last = {run: max(int(row["step"]) for row in rows(folder / run)) for run in runs}
    assert last["run-1"] < 399
    assert last["run-2"] == 3


@pytest.mark.slow
def test_the_agent_gives_up_where_every_run_is_refused(agent):
    sweep = tiny(SWEEPS["loss_weights"])
    sweep |= {"method": "grid", "parameters": {"model.l2_wait": {"values": list(range(20))}}}
    runs, failed, err = agent(sweep, 20)
    assert len(runs) == failed <= 5
    refusals = [line for line in err.splitlines() if line.startswith("restore fit: ")]
    assert len(refusals) == failed
    assert all("Option 'l2_wait' is not accepted" in line for line in refusals)
    assert "failed runs in" in err  # the agent says why it ends
