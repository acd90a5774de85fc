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

from restore_lightning.metrics import MeanScores
from restore_lightning.reports import charts
from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.pictures import LOSSLESS, CodedPicture, Picture, coded_within
from restore_lightning.reports.scores_json import RunScores, mean_over_sets, views_by_protocol

MOST_BYTES = 9_900_000
"""Of the page."""
MOST_PICTURE_BYTES = 9_000_000
"""Of its data URIs together."""
MOST_DOTS = 8_000
"""Of all distributions together."""
DIGITS = {"psnr": 2, "ssim": 4}
"""Decimals that are shown."""


class ScoreCell(NamedTuple):
    """The scores of a version of a set's images."""

    scores: MeanScores
    gain: float | None
    """In PSNR (dB) over the degraded images; None for these themselves."""
    best: tuple[bool, bool]
    """Whether no other version has a higher PSNR, SSIM."""


class StepScore(NamedTuple):
    """What a recurrent step does to a picture."""

    factor: str
    psnr: float | None
    change: float | None
    """In PSNR (dB)."""


def render_page(
    scores: RunScores,
    images: Mapping[str, Sequence[ImageScores]],
    curves: Sequence[Mapping[str, str | None]],
    pictures: Sequence[Picture],
    title: str,
    written: datetime,
) -> str:
    """The page's HTML: less than 10 MB, with neither network nor other files.

    Args:
        scores: Of the run.
        images: The scores of each set's images.
        curves: The rows of the run's `metrics.csv`; empty for a test without a run.
        pictures: The chosen images in the order of the page. Their quality is what the size allows; the last ones
            are dropped, and their number is shown, where even the least quality is too large.
        title: The run's name.
        written: Date of the page.
    """
    template = environment().get_template("report.html")
    versions = list(scores.titles)
    table = [
        (name, one, _cells([one.versions[version] for version in versions]))
        for name, result in scores.sets.items()
        for one in result.by_protocol().values()
    ]
    means = [
        (by, _cells([mean_over_sets([one.versions[version] for one in sets.values()]) for version in versions]))
        for by, sets in views_by_protocol(scores.sets).items()
        if len(sets) > 1
    ]

    def rendered(shown: Sequence[CodedPicture]) -> str:
        names = [f"picture-{index}" for index, _ in enumerate(shown, start=1)]
        links = {(one.picture.set, one.picture.name): f"#{name}" for name, one in zip(names, shown, strict=True)}
        return template.render(
            scores=scores,
            table=table,
            means=means,
            shown=list(zip(names, shown, map(_steps, shown), strict=True)),
            dropped=len(pictures) - len(shown),
            distributions=_distributions(images, links),
            curves=charts.curve_charts(curves),
            title=title,
            written=written,
        )

    blank = [CodedPicture(one, one.size, LOSSLESS, "", *[[""] * len(one.versions)] * 2) for one in pictures]
    text = len(rendered(blank).encode())
    return rendered(coded_within(pictures, min(MOST_PICTURE_BYTES, MOST_BYTES - text)))


@cache
def environment() -> Environment:
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


def _cells(scores: Sequence[MeanScores]) -> list[ScoreCell]:
    """A row of the table: the degraded images, then the methods."""
    shown = [(round(one.psnr, DIGITS["psnr"]), round(one.ssim, DIGITS["ssim"])) for one in scores]
    best = [max(values) for values in zip(*shown, strict=True)]
    gains = [None, *(one.gain_over(scores[0]) for one in scores[1:])]
    return [
        ScoreCell(one, gain, (psnr == best[0], ssim == best[1]))
        for one, gain, (psnr, ssim) in zip(scores, gains, shown, strict=True)
    ]


def _distributions(
    images: Mapping[str, Sequence[ImageScores]], links: Mapping[tuple[str, str], str]
) -> list[charts.Chart]:
    most = max(1, MOST_DOTS // max(1, len(images)))
    return [
        charts.gain_chart(name, scores, {image: link for (of, image), link in links.items() if of == name}, most)
        for name, scores in images.items()
    ]


def _steps(shown: CodedPicture) -> list[StepScore]:
    """What each step removes and how the PSNR changes."""
    versions = shown.picture.versions
    return [
        StepScore(
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
