"""The report of a test as one HTML page that needs nothing else: scores, pictures, distributions, curves."""

import base64
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from restore_lightning.reports import charts
from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.pictures import LOSSLESS, Picture, Shown, shown_within
from restore_lightning.reports.tables import mean_scores

MOST_BYTES = 9_900_000
"""Of the page."""
MOST_PICTURE_BYTES = 9_000_000
"""Of its data URIs together."""
MOST_DOTS = 8_000
"""Of all distributions together."""
DIGITS = {"psnr": 2, "ssim": 4}
"""Decimals that are shown."""


class Cell(NamedTuple):
    """The scores of a method on a set."""

    psnr: float
    ssim: float
    gain: float | None
    """In PSNR (dB) over the degraded images; None for these themselves."""
    identical: int
    """Images that equal the clean one; the mean is over the others."""
    best: tuple[bool, bool]
    """Whether no other method has a higher PSNR, SSIM."""


class Step(NamedTuple):
    """A recurrent pass of a picture."""

    factor: str
    psnr: float | None
    change: float | None
    """In PSNR (dB)."""


def page(
    report: Mapping[str, Any],
    images: Mapping[str, Sequence[ImageScores]],
    curves: Sequence[Mapping[str, str | None]],
    pictures: Sequence[Picture],
    title: str,
    written: datetime,
) -> str:
    """The page's HTML: less than 10 MB, with neither network nor other files.

    Args:
        report: What `scores.json` holds.
        images: The scores of each set's images.
        curves: The rows of the run's `metrics.csv`; empty for a test without a run.
        pictures: The chosen images in the order of the page. Their quality is what the size allows; the last ones
            are dropped, and their number is shown, where even the least quality is too large.
        title: The run's name.
        written: Date of the page.
    """
    template = _environment().get_template("report.html")
    sets = report["sets"]
    versions = ["degraded", *report["methods"]]
    scores = {version: [entry[version] for entry in sets.values()] for version in versions if len(sets) > 1}
    means = {
        version: {**mean_scores(of_sets), "identical": sum(math.isinf(entry["psnr"]) for entry in of_sets)}
        for version, of_sets in scores.items()
    }

    def rendered(shown: Sequence[Shown]) -> str:
        names = [f"picture-{index}" for index, _ in enumerate(shown, start=1)]
        links = {(one.picture.set, one.picture.name): f"#{name}" for name, one in zip(names, shown, strict=True)}
        return template.render(
            report=report,
            titles={"degraded": "degraded", **report["methods"]},
            table={name: _cells(entry, versions) for name, entry in sets.items()},
            means=_cells(means, versions) if means else None,
            shown=list(zip(names, shown, map(_steps, shown), strict=True)),
            dropped=len(pictures) - len(shown),
            distributions=_distributions(images, links),
            curves=charts.curve_charts(curves),
            title=title,
            written=written,
        )

    blank = [Shown(one, one.size, LOSSLESS, "", *[[""] * len(one.versions)] * 2) for one in pictures]
    text = len(rendered(blank).encode())
    return rendered(shown_within(pictures, min(MOST_PICTURE_BYTES, MOST_BYTES - text)))


@cache
def _environment() -> Environment:
    """The templates, escaping whatever they are given."""
    loader = PackageLoader("restore_lightning.reports")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script, style = (loader.get_source(environment, name)[0] for name in ("report.js", "report.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {"script": script, "style": style, "script_digest": digest, "charts": charts}
    environment.filters |= {
        "psnr": _psnr,
        "gain": _gain,
        "trend": _trend,
        "number": charts.number,
        "plain": _plain,
    }
    return environment


def _cells(scores: Mapping[str, Any], versions: Sequence[str]) -> list[Cell]:
    """A row of the table: the degraded images, then the methods."""
    best = {
        score: max(round(scores[version][score], digits) for version in versions) for score, digits in DIGITS.items()
    }
    return [
        Cell(
            entry["psnr"],
            entry["ssim"],
            None if version == "degraded" else _difference(entry["psnr"], scores["degraded"]["psnr"]),
            entry.get("identical", 0),
            (
                round(entry["psnr"], DIGITS["psnr"]) == best["psnr"],
                round(entry["ssim"], DIGITS["ssim"]) == best["ssim"],
            ),
        )
        for version, entry in ((version, scores[version]) for version in versions)
    ]


def _difference(after: float, before: float) -> float:
    """NaN, hence a dash, beside an infinite one."""
    difference = after - before
    return difference if math.isfinite(difference) else math.nan


def _distributions(
    images: Mapping[str, Sequence[ImageScores]], links: Mapping[tuple[str, str], str]
) -> list[charts.Chart]:
    most = max(1, MOST_DOTS // max(1, len(images)))
    return [
        charts.gain_chart(name, scores, {image: link for (of, image), link in links.items() if of == name}, most)
        for name, scores in images.items()
    ]


def _steps(shown: Shown) -> list[Step]:
    """The passes: what each removes and how the PSNR changes."""
    versions = shown.picture.versions
    return [
        Step(
            after.factor,
            after.psnr,
            after.psnr - before.psnr if after.psnr is not None and before.psnr is not None else None,
        )
        for before, after in itertools.pairwise(versions)
        if after.factor is not None
    ]


def _psnr(value: float | None) -> str:
    """In dB: "inf" for identical images, a dash where there is none."""
    return "\N{EN DASH}" if value is None or math.isnan(value) else charts.number(value, ".2f")


def _gain(value: float | None) -> str:
    """In dB, with its sign."""
    return _psnr(value) if value is None or math.isnan(value) else charts.number(value, "+.2f")


def _trend(gain: float | None) -> str:
    """The style of a gain."""
    if gain is None or math.isnan(gain):
        return "unknown"
    return "better" if gain >= 0 else "worse"


def _plain(value: Any) -> str:
    """A setting in a line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
