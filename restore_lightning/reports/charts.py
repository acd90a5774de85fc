"""Charts of the report page as coordinates; a template draws them as SVG."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 50, 448, 30, 248
"""The plot's edges within it."""
MOST_POINTS = 300
"""Of a curve."""
COLOURS = 6
"""That the style sheet has for curves."""
MEAN = "mean of the factors"

Points = list[tuple[float, float]]


class Curves(NamedTuple):
    """Which columns of `metrics.csv` a chart shows, and how."""

    columns: re.Pattern[str]
    """Its group is the factor."""
    title: str
    label: str
    form: str
    """The values' format."""


CURVES = (
    Curves(re.compile(r"train/(.+)/loss"), "Training loss", "loss", ".4g"),
    Curves(re.compile(r"val/(?:(.+)/)?psnr"), "Validation PSNR", "PSNR (dB)", ".2f"),
)


class ImageScores(NamedTuple):
    """The scores of one image."""

    name: str
    scores: Mapping[str, Mapping[str, float]]
    """{version: {"psnr", "ssim"}}."""


class Tick(NamedTuple):
    """A value on an axis."""

    at: float
    label: str


class Dot(NamedTuple):
    """A value that can be pointed at."""

    x: float
    y: float
    style: str
    text: str
    """What is said of it."""
    link: str | None = None
    """Where a click leads."""


class Line(NamedTuple):
    """A curve, or a straight line."""

    points: str
    """In SVG's notation."""
    style: str


class Chart(NamedTuple):
    """What the template draws; without dots its notes only."""

    title: str
    notes: Sequence[str]
    x_label: str = ""
    y_label: str = ""
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()
    legend: Sequence[tuple[str, str]] = ()
    """Style and name."""


class Axis:
    """Values to coordinates, with ticks at round values.

    Args:
        values: What the axis spans, with a margin of a twentieth.
        start: Coordinate of its low end.
        end: Coordinate of its high end.
    """

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        values = list(values)
        margin = 0.05 * (max(values) - min(values)) or max(abs(max(values)) * 0.05, 0.5)
        self.low, self.high = min(values) - margin, max(values) + margin
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """The coordinate of a value, to a tenth."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self, least_step: float = 0.0) -> list[Tick]:
        """Three to eight multiples of 1, 2 or 5 times a power of ten; fewer where the least step asks for it."""
        third = (self.high - self.low) / 3
        power = 10.0 ** math.floor(math.log10(third))
        step = max(least_step, *(factor * power for factor in (1, 2, 5) if factor * power <= third))
        decimals = max(0, -math.floor(math.log10(step)))
        multiples = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [Tick(self(n * step), number(n * step, f",.{decimals}f")) for n in multiples]


def number(value: float, form: str) -> str:
    """A number with a minus sign for its hyphen."""
    return format(value, form).replace("-", "\N{MINUS SIGN}")


def curve_charts(rows: Sequence[Mapping[str, str | None]]) -> list[Chart]:
    """Loss and validation PSNR by step, a curve per factor; a chart without a value is left out.

    Args:
        rows: Of a run's `metrics.csv`, as `csv.DictReader` reads them. Empty cells are no values; those that are no
            finite number are left out and counted in a note.
    """
    columns = [column for column in rows[0] if column] if rows else []
    found = [{c: match[1] or MEAN for c in columns if (match := kind.columns.fullmatch(c))} for kind in CURVES]
    factors = dict.fromkeys(factor for names in found for factor in names.values() if factor != MEAN)
    styles = {factor: f"c{index % COLOURS}" for index, factor in enumerate(factors)} | {MEAN: "mean"}
    charts = []
    for kind, names in zip(CURVES, found, strict=True):
        read = {name: _points(rows, column) for column, name in names.items()}
        curves = {name: points for name, (points, _) in read.items() if points}
        unusable = sum(count for _, count in read.values())
        notes = [f"Left out: {unusable} values that are no finite number."] if unusable else []
        if curves:
            charts.append(_curve_chart(kind, curves, styles, notes))
    return charts


def _points(rows: Sequence[Mapping[str, str | None]], column: str) -> tuple[Points, int]:
    """A column's values by step, and the number of those that are no finite number."""
    pairs = [(_float(row.get("step")), _float(row.get(column))) for row in rows if row.get(column)]
    points = [pair for pair in pairs if all(map(math.isfinite, pair))]
    return points, len(pairs) - len(points)


def _float(cell: str | None) -> float:
    try:
        return float(cell or math.nan)
    except ValueError:
        return math.nan


def _curve_chart(kind: Curves, curves: Mapping[str, Points], styles: Mapping[str, str], notes: list[str]) -> Chart:
    every = math.ceil(max(map(len, curves.values())) / MOST_POINTS)
    if every > 1:
        notes = [*notes, f"Each point is the mean of {every} logged values."]
    means = {name: _means(points, every) for name, points in curves.items()}
    x = Axis((step for points in means.values() for step, _ in points), LEFT, RIGHT)
    y = Axis((value for points in means.values() for _, value in points), BOTTOM, TOP)
    lines = [
        Line(" ".join(f"{x(step)},{y(value)}" for step, value in points), styles[name])
        for name, points in means.items()
    ]
    dots = [
        Dot(x(step), y(value), styles[name], f"{name}, step {step:,.0f}: {number(value, kind.form)}")
        for name, points in means.items()
        for step, value in points
    ]
    legend = [(styles[name], name) for name in curves]
    return Chart(kind.title, notes, "step", kind.label, x.ticks(least_step=1.0), y.ticks(), lines, dots, legend)


def _means(points: Points, every: int) -> Points:
    """The last step and the mean value of each group of neighbours."""
    groups = [points[start : start + every] for start in range(0, len(points), every)]
    return [(group[-1][0], fmean(value for _, value in group)) for group in groups]


def gain_chart(title: str, images: Sequence[ImageScores], links: Mapping[str, str], most: int) -> Chart:
    """The PSNR of each image of a set, restored against degraded: above the diagonal the image has gained.

    Args:
        title: The set's name.
        images: With scores of "degraded" and "restored".
        links: Where a click on an image's dot leads, by its name.
        most: About how many dots are drawn; those with links are drawn in any case.
    """
    pairs = [(image.name, image.scores["degraded"]["psnr"], image.scores["restored"]["psnr"]) for image in images]
    finite = sorted((pair for pair in pairs if math.isfinite(pair[1] + pair[2])), key=lambda pair: pair[2] - pair[1])
    notes = []
    if finite:
        gains = [restored - degraded for _, degraded, restored in finite]
        lost = sum(gain < 0 for gain in gains)
        notes.append(
            f"{len(gains) - lost} of {len(gains)} images gained, {lost} lost. Gain in dB: median"
            f" {number(median(gains), '+.2f')}, from {number(gains[0], '+.2f')} to {number(gains[-1], '+.2f')}."
        )
    if len(finite) < len(pairs):
        notes.append(
            f"Not drawn: {len(pairs) - len(finite)} without a finite PSNR (inf: identical to the clean image)."
        )
    every = math.ceil(len(finite) / most)
    drawn = [
        pair for rank, pair in enumerate(finite) if rank % every == 0 or rank == len(finite) - 1 or pair[0] in links
    ]
    if len(drawn) < len(finite):
        notes.append(f"{len(drawn)} of the {len(finite)} images are drawn, evenly spaced by gain.")
    if not drawn:
        return Chart(title, notes)
    x = Axis((degraded for _, degraded, _ in drawn), LEFT, RIGHT)
    y = Axis((psnr for _, *both in drawn for psnr in both), BOTTOM, TOP)
    ends = (max(x.low, y.low), min(x.high, y.high))
    diagonal = Line(" ".join(f"{x(value)},{y(value)}" for value in ends), "diagonal")
    dots = [
        Dot(
            x(degraded),
            y(restored),
            "better" if restored >= degraded else "worse",
            f"{name}: {degraded:.2f} \N{RIGHTWARDS ARROW} {restored:.2f} dB ({number(restored - degraded, '+.2f')})",
            links.get(name),
        )
        for name, degraded, restored in sorted(drawn, key=lambda pair: pair[0] in links)  # linked ones on top
    ]
    legend = [("better", "gained"), ("worse", "lost"), ("diagonal", "no change")]
    labels = ("degraded (dB)", "restored (dB)")
    return Chart(title, notes, *labels, x.ticks(), y.ticks(), [diagonal], dots, legend)
