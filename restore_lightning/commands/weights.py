"""`restore weights`: the networks that are at hand by name."""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from restore_lightning.errors import UserError
from restore_lightning.shipped_weights import shipped_networks
from restore_lightning.weights import read_config
from restore_lightning.weights.card import LICENCE_UNKNOWN, one_line, score_line
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
    """List them, without reading weights."""
    parser().parse_args(words)
    shipped, fetched = shipped_networks(), cached()
    if shipped:
        print("shipped:", *_listed(shipped), sep="\n")
    else:
        print(
            "no network is shipped with this version: train one (restore fit), convert a published one (restore"
            " convert), or name one on the hub (hub:owner/name)"
        )
    if fetched:
        print("cached from the hub:", *_listed(fetched), sep="\n")
    return 0


def _listed(bundles: Mapping[str, Path]) -> list[str]:
    """Lines of each bundle that can be read: name, size, what it removes, licence, scores."""
    lines = []
    for name, folder in bundles.items():
        with suppress(UserError, OSError):
            lines += _described(name, read_config(folder))
    return lines


def _described(name: str, config: Mapping[str, Any]) -> list[str]:
    size = f"{config['parameters']:,} parameters, {config['bytes'] / 1e6:.1f} MB"
    licence = config.get("licence") or LICENCE_UNKNOWN
    scores = [f"    {score_line(score)}" for score in config.get("scores") or []] or ["    no scores recorded"]
    described = one_line(f"removes {', '.join(config['factors'])}; {size}; licence: {licence}")
    return [f"  {name}", f"    {described}", *scores]
