"""Small multi-branch networks, each trained for the same time: which gains most?

    python benchmarks/candidates.py [--seconds 240] [--seed 0] [--candidates "small_start" "width 8"] [--images 1]

Every candidate is the network of small_start.yaml but for what `CANDIDATES` says. All have that config's factors,
crops and optimiser, and its highest learning rate, here in one cycle (OneCycleLR) as long as the run. First the
seconds of an optimiser step are measured, the candidates alternating, for each factor the median over rounds. They are
seconds of the processor on one thread, which on a core of one's own are those of the clock, so that waiting for other
programs costs no candidate its steps; what they still take from caches shows, and more rounds help. Data, logging and
checkpoints are not in them. Then each candidate is trained from scratch on procedural scenes by `restore fit`, for as
many whole cycles of minibatches as fit into `--seconds` by its own rate, and scored by `restore test` on scikit-image's
photographs with small_test.yaml, each factor by its protocol.

Progress and the table on standard error, one JSON object on standard output. For each candidate: `parameters`, `steps`,
`seconds_per_step` (the mean over a cycle), `gain` (PSNR restored less degraded, dB, by factor), `mean_gain` over the
factors, `gain_per_minute` (of the steps' seconds). `ratio` is the slowest candidate's seconds a step over the
fastest's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import yaml
from training_step import Way

from restore_lightning.networks import MBN
from restore_lightning.reports.scores_json import DEGRADED, RESTORED, read_scores
from restore_lightning.shipped_configs import find_config
from restore_lightning.tasks import MultiBranchTask

CANDIDATES: dict[str, dict[str, Any]] = {
    "small_start": {},
    "width 8": {"width": 8},
    "width 16": {"width": 16},
    "4 rain iterations": {"iterations": 4},
    "jpeg at three scales": {"pairs": {}},
    "stem of the quickstart": {"stem": None, "extra": None},
}
"""Name -> arguments of the network that differ from small_start.yaml's."""


def network_arguments(start: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A candidate's, of MBN."""
    return start["model"]["init_args"]["network"]["init_args"] | CANDIDATES[name]


def cycle_of(start: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Factor -> minibatches of a cycle, images of a minibatch, side of a crop (pixels)."""
    data = start["data"]
    return {
        factor: (
            given.get("minibatches", 1),
            given.get("batch_size", data["batch_size"]),
            given.get("crop_size", data["crop_size"]),
        )
        for factor, given in data["factors"].items()
    }


def seconds_per_step(start: Mapping[str, Any], names: Sequence[str], rounds: int) -> dict[str, float]:
    """Candidate -> seconds of the processor for an optimiser step, the mean over a cycle."""
    cycle = cycle_of(start)
    times: dict[tuple[str, str], list[float]] = {(name, factor): [] for name in names for factor in cycle}
    ways = {}
    for name in names:
        torch.manual_seed(0)
        task = MultiBranchTask(MBN(**network_arguments(start, name)))
        ways[name] = Way(task, torch.device("cpu"), product=True)
    for number in range(rounds + 1):
        for factor, (_, images, side) in cycle.items():
            for name, way in ways.items():
                batch = way.batch(factor, images, side)
                before = time.process_time()
                way.step(batch)
                if number:  # the first one also chooses algorithms
                    times[name, factor].append(time.process_time() - before)
    minibatches = sum(count for count, _, _ in cycle.values())
    return {
        name: sum(count * statistics.median(times[name, factor]) for factor, (count, _, _) in cycle.items())
        / minibatches
        for name in names
    }


def config_of(start: Mapping[str, Any], name: str, steps: int, folder: Path) -> dict[str, Any]:
    """The config of a candidate's run."""
    config = deepcopy(dict(start))
    model = config["model"]["init_args"]
    model["network"]["init_args"] = network_arguments(start, name)
    model["lr_scheduler"] = {
        "class_path": "torch.optim.lr_scheduler.OneCycleLR",
        "init_args": {
            "max_lr": model["optimizer"]["init_args"]["lr"],
            "total_steps": steps,
            "div_factor": 50,
            "final_div_factor": 1000,
            "cycle_momentum": False,
        },
    }
    config["trainer"] |= {"default_root_dir": str(folder), "max_steps": steps, "logger": False}
    config["trainer"] |= {"limit_val_batches": 0, "val_check_interval": None, "enable_progress_bar": False}
    return config


def gains(config: Mapping[str, Any], images: int | None) -> tuple[int | None, dict[str, float]]:
    """Parameters, and the gain by factor (dB), of a network that is trained and tested here."""
    folder = Path(config["trainer"]["default_root_dir"])
    given = folder.with_suffix(".yaml")
    given.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    restore("fit", "--config", str(given))
    few = [] if images is None else ["--trainer.limit_test_batches", str(images)]
    restore("test", "--config", str(folder / "config.yaml"), "--config", "small_test.yaml", *few)
    scores = read_scores(folder / "scores.json")
    return scores.parameters, {
        result.factor: result.versions[RESTORED].gain_over(result.versions[DEGRADED]) for result in scores.sets.values()
    }


def restore(*words: str) -> None:
    """A command of its own process, on one thread; what it prints goes to standard error."""
    command = [sys.executable, "-m", "restore_lightning", *words]
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | {"OMP_NUM_THREADS": "1"})


def table(candidates: Mapping[str, Mapping[str, Any]]) -> str:
    """The results in Markdown."""
    factors = list(next(iter(candidates.values()))["gain"])
    heads = ["network", "parameters", "steps", "seconds a step", *factors, "mean", "mean a minute"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name, found in candidates.items():
        cells = [name, f"{found['parameters']:,}", f"{found['steps']:,}", f"{found['seconds_per_step']:.3f}"]
        decibels = [*(found["gain"][factor] for factor in factors), found["mean_gain"], found["gain_per_minute"]]
        lines.append(f"| {' | '.join([*cells, *(f'{value:+.2f}' for value in decibels)])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240, help="of training for each candidate (default 240)")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring a step (default 3)")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (default 0)")
    parser.add_argument("--images", type=int, help="of each factor that are scored, to try it (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = yaml.safe_load(find_config("small_start.yaml").read_text(encoding="utf-8"))
    start["seed_everything"] = options.seed
    minibatches = sum(count for count, _, _ in cycle_of(start).values())
    rates = seconds_per_step(start, options.candidates, options.rounds)
    print("seconds a step:", {name: round(rate, 3) for name, rate in rates.items()}, file=sys.stderr, flush=True)
    candidates: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, rate) in enumerate(rates.items()):
            steps = minibatches * max(1, int(options.seconds / rate / minibatches))
            parameters, gain = gains(config_of(start, name, steps, Path(folder, str(number))), options.images)
            mean = statistics.mean(gain.values())
            candidates[name] = {
                "parameters": parameters,
                "steps": steps,
                "seconds_per_step": rate,
                "gain": gain,
                "mean_gain": mean,
                "gain_per_minute": mean / (steps * rate / 60),
            }
            print(table(candidates), file=sys.stderr, flush=True)
    report = {
        "ratio": max(rates.values()) / min(rates.values()),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "seed": options.seed,
        "images": options.images,
        "torch": torch.__version__,
        "candidates": candidates,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
