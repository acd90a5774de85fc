"""`restore weights`: the networks that are at hand by name."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restore_lightning.errors import UserError
from restore_lightning.shipped_weights import shipped_networks
from restore_lightning.weights import read_config
from restore_lightning.weights.bundle import OfOthersError
from restore_lightning.weights.card import LICENCE_UNKNOWN, one_line, score_line, told_text
from restore_lightning.weights.hub import cached
from restore_lightning.weights.sources import KINDS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return argparse.ArgumentParser(
        prog="restore weights",
        description="List the networks that are shipped, and those from the hub that are cached, by the names that"
        f" every verb takes. WEIGHTS of a verb: {KINDS}.",
        allow_abbrev=False,
    )


def run(words: list[str]) -> int:
    """List them, without reading weights; 1: one of them cannot be read."""
    parser().parse_args(words)
    (shipped, damaged), (fetched, also_damaged) = (_listed(bundles) for bundles in (shipped_networks(), cached()))
    if shipped:
        print("shipped:", *shipped, sep="\n")
    else:
        print(
            "no network is shipped with this version: train one (restore fit), convert a published one (restore"
            " convert), or name one on the hub (hub:owner/name)"
        )
    if fetched:
        print("cached from the hub:", *fetched, sep="\n")
    return 1 if damaged or also_damaged else 0


def _listed(bundles: Mapping[str, Path]) -> tuple[list[str], bool]:
    """Lines of each bundle, and whether one cannot be read.

    They say its name, what it must be told, what it removes, its size, licence and scores, or why it cannot be read.
    What other programs have in the hub's cache is left out.
    """
    lines, damaged = [], False
    for name, folder in bundles.items():
        try:
            lines += _described(name, read_config(folder))
        except OfOthersError:
            continue
        except UserError as error:
            lines += [f"  {name}", f"    {one_line(str(error))}"]
            damaged = True
    return lines, damaged


def _described(name: str, config: Mapping[str, Any]) -> list[str]:
    size = f"{config['parameters']:,} parameters, {config['bytes'] / 1e6:.1f} MB"
    licence = config.get("licence") or LICENCE_UNKNOWN
    scores = [f"    {score_line(score)}" for score in config.get("scores") or []] or ["    no scores recorded"]
    described = one_line(f"{told_text(config)}; {size}; licence: {licence}")
    return [f"  {name}", f"    {described}", *scores]
