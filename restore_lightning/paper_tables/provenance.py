"""Where a row of ours comes from, in words."""

from collections.abc import Mapping
from typing import Any

from restore_lightning.paper_tables.printed import images_of, known_set
from restore_lightning.reports.scores_json import DEGRADED, RunScores, SetResult

UNKNOWN = "not recorded"
"""For what a file of an older version does not say."""


def origin_of(version: str, scores: RunScores, sets: Mapping[tuple[str, str], SetResult]) -> str:
    """Checkpoint and settings of a method, and for each set how, on how many images and on what it was scored.

    Args:
        version: What the method made.
        scores: Of its run.
        sets: Those that the table shows, by their names and protocols.
    """
    parts = []
    if version != DEGRADED:
        method = scores.methods[version]
        files = method.checkpoint or UNKNOWN
        if not isinstance(files, str):
            files = ", ".join(f"{factor} {path}" for factor, path in files.items())
        parts = [f"checkpoint {files}", _inference(method.inference)]
    return "; ".join(
        [*parts, *(_set(name, result, version) for (name, _), result in sets.items() if version in result.versions)]
    )


def _inference(settings: Mapping[str, Any] | None) -> str:
    if settings is None:
        return f"inference {UNKNOWN}"
    tile = settings.get("tile")
    parts = [f"tiles of {tile} with an overlap of {settings.get('overlap')}" if tile else "no tiles"]
    if settings.get("local_statistics"):
        parts.append(f"local statistics over {settings['local_statistics']}")
    return ", ".join([*parts, *["self-ensemble"] * bool(settings.get("self_ensemble"))])


def _set(name: str, result: SetResult, version: str) -> str:
    published = images_of(str(known_set(name)))
    images = f"{result.images} image{'s' * (result.images != 1)}"
    if result.images != published:
        images += f" (the published set has {published})"
    identical = result.versions[version].identical
    if identical:
        images += f", {identical} of them equal to the clean ones and left out of the mean PSNR"
    return f"{name} by {result.protocol}, {images}, data {result.data or UNKNOWN}"
