"""`restore search`: the recurrent order or the output hierarchy, in two stages (paper 2, sections 5.2 and A.1)."""

import argparse
import io
import json
from collections.abc import Container
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from restore_lightning.architecture_search import (
    SEARCHES,
    Arrangement,
    Result,
    Search,
    best_of,
    flat,
    show,
    stage_table,
)
from restore_lightning.commands.yaml_keys import load_config
from restore_lightning.errors import UserError
from restore_lightning.io.files import user_path, write_text
from restore_lightning.reports.scores_json import RESTORED, mean_over_sets, read_scores
from restore_lightning.shipped_configs import find_config

DEFAULTS = {"recurrent_order": "r_mbn.yaml", "output_hierarchy": "search_hierarchy.yaml"}
OWN = (
    "--model.order",
    "--model.skip",
    "--model.network.hierarchy",
    "--data.factors",
    "--trainer.default_root_dir",
    "-c",
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore search",
        usage="restore search {recurrent_order,output_hierarchy} [--config C.yaml] [--first F1,F2,F3] [--output DIR]"
        " [--key value ...]",
        description="Train and test every arrangement of the first factors, then insert the others into the best, and"
        " print the scores as Liu et al. (2020), tables 2, 5 and 6. Started again, it goes on where it stopped.",
        allow_abbrev=False,
    )
    made.add_argument("what", choices=list(SEARCHES), help="order of a recurrent walk, or levels of output branches")
    made.add_argument("--config", help=f"of every run; defaults: {', '.join(DEFAULTS.values())}")
    made.add_argument("--first", default="blur,haze,rain", help="factors of the first stage (default blur,haze,rain)")
    made.add_argument("--output", type=user_path, help="folder of the runs and search.json; default runs/search_WHAT")
    made.add_argument(
        "--trainer.max_steps", type=int, dest="max_steps", help="of a run with all factors; others have as many cycles"
    )
    made.epilog = "Any --key value of restore fit is handed on, e.g. --data.root FOLDER."
    return made


def run(words: list[str]) -> int:
    """Search; each run has a folder of its own below the output."""
    options, handed_on = parser().parse_known_args(words)
    taken = [word for word in handed_on if word.replace(".init_args.", ".").startswith(OWN)]
    if taken:
        raise UserError(
            f"{taken[0].partition('=')[0]} is not for the command line of a search: leave it out, or change it in the"
            " config (--output names the folder)"
        )
    search = SEARCHES[options.what]
    path = find_config(options.config or DEFAULTS[options.what])
    config = _config(path, options.what, options.max_steps)
    factors = list(config["data"]["factors"])
    first = [name.strip() for name in options.first.split(",")]
    unknown = [name for name in first if name not in factors]
    if unknown or len(set(first)) < len(first):
        problem = f"{unknown[0]} has no data" if unknown else "a factor is named twice"
        raise UserError(f"--first {options.first}: {problem}; choose among {', '.join(factors)}")
    output = Path(options.output or f"runs/search_{options.what}")
    settings = {"search": options.what, "config": config, "command line": handed_on}
    if not _goes_on(output, settings):
        _rehearse(search, [*first, *(factor for factor in factors if factor not in first)], config, handed_on)
        write_text(output / "search.json", json.dumps(settings, indent=2) + "\n")

    best = _stage(search, search.first(first), config, output, handed_on)
    for factor in factors:
        if factor not in first:
            best = _stage(search, search.insert(best, factor), config, output, handed_on)
    print(f"\nbest: {search.key} '{json.dumps(best).replace(chr(34), '')}'", flush=True)
    return 0


def _rehearse(search: Search, candidate: Arrangement, config: dict[str, Any], words: list[str]) -> None:
    """One step with all factors: what a later stage would be refused for is refused before the first."""
    from restore_lightning.commands.trainer import run as run_trainer

    with TemporaryDirectory() as folder:
        settings = _settings(search, candidate, config, Path(folder, "run"))
        off: dict[str, Any] = {"max_steps": 1, "limit_val_batches": 0, "val_check_interval": None, "logger": False}
        settings["trainer"] |= off | {"enable_progress_bar": False}
        path = Path(folder, "rehearsal.yaml")
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        with redirect_stdout(io.StringIO()):  # its tables are those of no candidate
            run_trainer("fit", ["--config", str(path), *words])


def _config(path: Path, what: str, max_steps: int | None) -> dict[str, Any]:
    """A config that candidates can be made from.

    Raises:
        UserError: It lacks something.
    """
    try:
        config: dict[str, Any] = load_config(path.read_text(encoding="utf-8"), path)
        if max_steps is not None:
            config["trainer"]["max_steps"] = max_steps
        network = config["model"]["init_args"]["network"].setdefault("init_args", {})
        steps, factors = config["trainer"]["max_steps"], dict(config["data"]["factors"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        needed = "trainer.max_steps, model.init_args.network and data.factors"
        raise UserError(f"{path} is no config to search with: it must have {needed} ({error!r})") from error
    if not isinstance(steps, int) or steps < _steps(factors):
        raise UserError(f"trainer.max_steps {steps} is less than one cycle of {_steps(factors)} optimiser steps")
    fixed = [name for name in ("extra", "pairs") if network.get(name) is not None and what == "output_hierarchy"]
    if fixed:
        raise UserError(f"{path} sets network.{fixed[0]}, which depends on the hierarchy that is searched: remove it")
    return config


def _goes_on(output: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder holds runs of this search.

    Raises:
        UserError: It holds those of another one.
    """
    path = output / "search.json"
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is no folder: choose another")
    if not (path.is_file() and any(output.glob("*/checkpoints/*.ckpt"))):
        return False
    earlier = json.loads(path.read_text(encoding="utf-8"))
    differing = [key for key in settings if settings[key] != earlier.get(key)]
    if differing:
        raise UserError(
            f"{output} holds a search with another {' and '.join(differing)} (see {path}): choose another --output"
        )
    return True


def _stage(
    search: Search, candidates: list[Arrangement], config: dict[str, Any], output: Path, words: list[str]
) -> Arrangement:
    results = []
    for number, candidate in enumerate(candidates, 1):
        print(f"\n[{number} of {len(candidates)}] {show(candidate)}", flush=True)
        results.append(_result(search, candidate, config, output, words))
    print(f"\n{stage_table(results)}", flush=True)
    return best_of(results).arrangement


def _result(search: Search, candidate: Arrangement, config: dict[str, Any], output: Path, words: list[str]) -> Result:
    """Train and test a candidate, unless that was done before."""
    from restore_lightning.commands.trainer import run as run_trainer

    folder = output / show(candidate).replace(" -> ", "-").replace("[", "").replace("]", "").replace(", ", "+")
    scores = folder / "scores.json"
    if not scores.is_file():
        settings = output / f"{folder.name}.yaml"
        write_text(settings, yaml.safe_dump(_settings(search, candidate, config, folder), sort_keys=False))
        saved = (folder / "checkpoints/last.ckpt").is_file()
        go_on = ["--ckpt_path", "last"] if saved else ["--overwrite"]  # one that was cut short before it saved
        try:
            run_trainer("fit", ["--config", str(settings), *words, *go_on])
            run_trainer("test", ["--config", str(folder / "config.yaml"), *search.testing])
        except UserError as error:
            raise UserError(f"{show(candidate)}: {error}", error.exit_code) from error
    sets = read_scores(scores).sets.values()
    return Result(candidate, mean_over_sets([result.versions[RESTORED] for result in sets]))


def _settings(search: Search, candidate: Arrangement, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config of a candidate's run: its factors only, for as many cycles as the config has."""
    from restore_lightning.networks.mbn import HIERARCHY, levels_of

    present = flat(candidate)
    data = config["data"]["factors"]
    kept = {factor: data[factor] for factor in data if factor in present}
    built = config["model"]["init_args"]["network"]
    hierarchy = built["init_args"].get("hierarchy", HIERARCHY)
    task, network = search.settings(candidate, list(levels_of(hierarchy)))
    built = {**built, "init_args": {**built["init_args"], **network}}
    arguments = {**config["model"]["init_args"], **task, "network": built}
    arguments.pop("baselines", None)  # the same for all candidates
    model = {**config["model"], "init_args": arguments}
    sets = {key: _of_factors(config["data"][key], kept) for key in ("val_sets", "test_sets") if config["data"].get(key)}
    cycles = config["trainer"]["max_steps"] // _steps(data)
    trainer = {**config["trainer"], "default_root_dir": str(folder), "max_steps": cycles * _steps(kept)}
    return {**config, "trainer": trainer, "model": model, "data": {**config["data"], "factors": kept, **sets}}


def _of_factors(sets: dict[str, dict[str, Any]], factors: Container[str]) -> dict[str, dict[str, Any]]:
    """The sets whose factor an arrangement has."""
    return {name: given for name, given in sets.items() if given.get("factor") in factors}


def _steps(factors: dict[str, dict[str, Any]]) -> int:
    return sum((data or {}).get("minibatches", 1) for data in factors.values())
