"""Scores as text, in the layouts of paper 2's tables; PSNR in dB, then SSIM, means over images.

A set's factor is several joined by "+" where its images are degraded by all of them.
"""

import math
from collections.abc import Mapping, Sequence

from restore_lightning.data.mixing_recipes import COMBINATIONS, PURE
from restore_lightning.reports.scores_json import (
    DEGRADED,
    RESTORED,
    RunScores,
    SetResult,
    mean_over_sets,
    views_by_protocol,
)

MARKS = {True: "x", False: "-"}

Sets = Mapping[str, SetResult]


def score_tables(scores: RunScores) -> str:
    """The tables that suit a run: one method's sets, several methods (table 3), mixed sets (table 4).

    Those of several methods and of mixed sets come once more for each further protocol.
    """
    tables = []
    for by, sets in views_by_protocol(scores.sets).items():
        pure = {name: one for name, one in sets.items() if one.factor not in (*COMBINATIONS, "random", "mixed")}
        found = []
        if len(pure) < len(sets):
            found.append(subset_table(scores.titles, sets))
        if len(scores.methods) > 1 and pure:
            found.append(method_table(scores.titles, pure))
        if found and by:
            found[0] = f"by {by}:\n{found[0]}"
        tables += found
    return "\n\n".join(tables) or set_table(scores.sets)


def set_table(sets: Sets) -> str:
    """One line per set and protocol: number of images, degraded, restored, gain in PSNR."""
    rows = [["set", "factor", "protocol", "images", "degraded", "restored", "gain"]]
    for name, one in ((name, one) for name, result in sets.items() for one in result.by_protocol().values()):
        degraded, restored = one.versions[DEGRADED], one.versions[RESTORED]
        gain = restored.gain_over(degraded)
        shown = "-" if math.isnan(gain) else f"{gain:+.2f} dB"
        rows.append([name, one.factor, one.protocol, str(one.images), str(degraded), str(restored), shown])
    return _aligned(rows)


def method_table(titles: Mapping[str, str], sets: Sets) -> str:
    """Rows: versions by their titles; columns: sets of one factor and their mean (tables 3 and 2)."""
    rows = [["", *sets, "mean"], ["protocol", *(one.protocol for one in sets.values()), ""]]
    rows.append(["images", *(str(one.images) for one in sets.values()), ""])
    for version, title in titles.items():
        scores = [one.versions[version] for one in sets.values()]
        rows.append([title, *map(str, [*scores, mean_over_sets(scores)])])
    return _aligned(rows)


def subset_table(titles: Mapping[str, str], sets: Sets) -> str:
    """Rows: subsets of factors; columns: versions by their titles, the tested network's first (table 4)."""
    columns = {version: titles[version] for version in (DEGRADED, RESTORED, *titles)}
    rows = [["set", *PURE, "images", *columns.values()]]
    for name, one in sets.items():
        factors = one.factor.split("+")
        marks = [MARKS[factor in factors] if factors[0] in PURE else "?" for factor in PURE]
        rows.append([name, *marks, str(one.images), *(str(one.versions[version]) for version in columns)])
    means = [mean_over_sets([one.versions[version] for one in sets.values()]) for version in columns]
    rows.append(["mean of the sets", *[""] * len(PURE), "", *map(str, means)])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest entry, the first one flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
