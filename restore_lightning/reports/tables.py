"""Scores as text, in the layouts of paper 2's tables; PSNR in dB, then SSIM, means over images.

The functions read what `restore test` writes to `scores.json`: {"methods": {version: title}, "sets": {name:
{"factor", "protocol", "images", version: {"psnr", "ssim"}, ...}}}. A set's factor is several joined by "+" where its
images are degraded by all of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from restore_lightning.data.mixed_set import COMBINATIONS, PURE
from restore_lightning.metrics import mean_over_images

MARKS = {True: "x", False: "-"}


def score_tables(report: Mapping[str, Any]) -> str:
    """The tables that suit a report: one method's sets, several methods (table 3), mixed sets (table 4)."""
    sets = report["sets"]
    pure = {name: entry for name, entry in sets.items() if entry["factor"] not in (*COMBINATIONS, "random", "mixed")}
    tables = []
    if len(pure) < len(sets):
        tables.append(subset_table(report["methods"], sets))
    if len(report["methods"]) > 1 and pure:
        tables.append(method_table(report["methods"], pure))
    return "\n\n".join(tables) or set_table(sets)


def set_table(sets: Mapping[str, Any]) -> str:
    """One line per set: protocol, number of images, degraded, restored, gain in PSNR."""
    rows = [["set", "factor", "protocol", "images", "degraded", "restored", "gain"]]
    for name, entry in sets.items():
        degraded, restored = entry["degraded"], entry["restored"]
        gain = restored["psnr"] - degraded["psnr"]
        shown = f"{gain:+.2f} dB" if math.isfinite(gain) else "-"
        about = [name, entry["factor"], entry["protocol"], str(entry["images"])]
        rows.append([*about, _shown(degraded), _shown(restored), shown])
    return _aligned(rows)


def method_table(methods: Mapping[str, str], sets: Mapping[str, Any]) -> str:
    """Rows: methods; columns: sets of one factor and their mean (tables 3 and 2)."""
    rows = [["", *sets, "mean"], ["protocol", *(entry["protocol"] for entry in sets.values()), ""]]
    rows.append(["images", *(str(entry["images"]) for entry in sets.values()), ""])
    for version, title in {"degraded": "degraded", **methods}.items():
        scores = [entry[version] for entry in sets.values()]
        rows.append([title, *map(_shown, [*scores, mean_scores(scores)])])
    return _aligned(rows)


def subset_table(methods: Mapping[str, str], sets: Mapping[str, Any]) -> str:
    """Rows: subsets of factors; columns: methods, the tested network first (table 4)."""
    columns = {"degraded": "degraded", "restored": methods["restored"], **methods}
    rows = [["set", *PURE, "images", *columns.values()]]
    for name, entry in sets.items():
        factors = entry["factor"].split("+")
        marks = [MARKS[factor in factors] if factors[0] in PURE else "?" for factor in PURE]
        scores = [entry[version] for version in columns]
        rows.append([name, *marks, str(entry["images"]), *map(_shown, scores)])
    means = [mean_scores([entry[version] for entry in sets.values()]) for version in columns]
    rows.append(["mean of the sets", *[""] * len(PURE), "", *map(_shown, means)])
    return _aligned(rows)


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over sets of {"psnr", "ssim"}; sets of infinite PSNR (identical images) are left out of the PSNR's."""
    return {score: mean_over_images(np.array([entry[score] for entry in scores])) for score in ("psnr", "ssim")}


def _shown(score: Mapping[str, float]) -> str:
    return f"{score['psnr']:.2f} / {score['ssim']:.4f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest entry, the first one flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
