"""`restore search`: the recurrent order or the output hierarchy, in two stages (paper 2, sections 5.2 and A.1)."""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from restore_lightning.configs import find_config
from restore_lightning.errors import UserError
from restore_lightning.files import write_text
from restore_lightning.search import SEARCHES, Arrangement, Result, Search, flat, show, stage_table

DEFAULTS = {"recurrent_order": "r_mbn.yaml", "output_hierarchy": "search_hierarchy.yaml"}
OWN = ("--model.order", "--model.skip", "--model.network.hierarchy", "--data.factors", "--trainer.default_root_dir")


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
    made.add_argument("--output", help="folder of the runs and search.json; default runs/search_WHAT")
    made.epilog = "Any --key value of restore fit is handed on, e.g. --trainer.max_steps 60000 --data.root FOLDER."
    return made


def run(words: list[str]) -> int:
    """Search; each run has a folder of its own below the output."""
    options, handed_on = parser().parse_known_args(words)
    taken = [word for word in handed_on if word.startswith(OWN)]
    if taken:
        raise UserError(f"{taken[0].partition('=')[0]} is set by the search: leave it out (--output names the folder)")
    search = SEARCHES[options.what]
    config = yaml.safe_load(find_config(options.config or DEFAULTS[options.what]).read_text())
    factors = list(config["data"]["factors"])
    first = [name.strip() for name in options.first.split(",")]
    unknown = [name for name in first if name not in factors]
    if unknown or len(set(first)) < len(first):
        problem = f"{unknown[0]} has no data" if unknown else "a factor is named twice"
        raise UserError(f"--first {options.first}: {problem}; choose among {', '.join(factors)}")
    output = Path(options.output or f"runs/search_{options.what}")
    _same_search(output, {"search": options.what, "config": config, "words": handed_on})

    best = _stage(search, search.first(first), config, output, handed_on)
    for factor in factors:
        if factor not in first:
            best = _stage(search, search.insert(best, factor), config, output, handed_on)
    print(f"\nbest: {search.key} '{json.dumps(best).replace(chr(34), '')}'", flush=True)
    return 0


def _same_search(output: Path, settings: dict[str, Any]) -> None:
    """Keep what is searched beside the runs; refuse to mix it with another search.

    Raises:
        UserError: The folder holds one.
    """
    path, text = output / "search.json", json.dumps(settings, indent=2) + "\n"
    if path.is_file() and path.read_text() != text:
        raise UserError(f"{output} holds a search with other settings ({path}): choose another --output")
    write_text(path, text)


def _stage(
    search: Search, candidates: list[Arrangement], config: dict[str, Any], output: Path, words: list[str]
) -> Arrangement:
    results = []
    for number, candidate in enumerate(candidates, 1):
        print(f"\n[{number} of {len(candidates)}] {show(candidate)}", flush=True)
        results.append(_result(search, candidate, config, output, words))
    print(f"\n{stage_table(results)}", flush=True)
    return max(results, key=lambda result: result.psnr).arrangement


def _result(search: Search, candidate: Arrangement, config: dict[str, Any], output: Path, words: list[str]) -> Result:
    """Train and test a candidate, unless that was done before."""
    from restore_lightning.commands.trainer import run as run_trainer

    folder = output / show(candidate).replace(" -> ", "-").replace("[", "").replace("]", "").replace(", ", "+")
    scores = folder / "scores.json"
    if not scores.is_file():
        settings = output / f"{folder.name}.yaml"
        write_text(settings, yaml.safe_dump(_settings(search, candidate, config, folder), sort_keys=False))
        try:
            run_trainer("fit", ["--config", str(settings), *words, "--ckpt_path", "last"])
            run_trainer("test", ["--config", str(folder / "config.yaml"), *search.testing])
        except UserError as error:
            raise UserError(f"{show(candidate)}: {error}", error.exit_code) from error
    sets = [entry["restored"] for entry in json.loads(scores.read_text())["sets"].values()]
    return Result(candidate, *(sum(entry[score] for entry in sets) / len(sets) for score in ("psnr", "ssim")))


def _settings(search: Search, candidate: Arrangement, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config of a candidate's run: its factors only, for as many cycles as the config has."""
    present = flat(candidate)
    data = config["data"]["factors"]
    kept = {factor: data[factor] for factor in data if factor in present}
    task, network = search.settings(candidate, [factor for factor in data if factor not in present])
    model = config["model"]
    model = {**model, "init_args": {**model.get("init_args", {}), **task}}
    built = model["init_args"]["network"]
    model["init_args"]["network"] = {**built, "init_args": {**built.get("init_args", {}), **network}}
    cycles = config["trainer"]["max_steps"] // _steps(data)
    trainer = {**config["trainer"], "default_root_dir": str(folder), "max_steps": cycles * _steps(kept)}
    return {**config, "trainer": trainer, "model": model, "data": {**config["data"], "factors": kept}}


def _steps(factors: dict[str, dict[str, Any]]) -> int:
    return sum((data or {}).get("minibatches", 1) for data in factors.values())
