"""The papers' tables, read from the YAML files beside this one.

Such a file holds the paper, or what several papers share, and its tables by number:

- `title`, `source`, `notes`; `transposed`: printed with methods as columns, as in the paper.
- `columns`: name -> what it holds. `sets`: test set -> protocol, of which scores are shown; of several sets the mean.
  `kind: parameters`, `kind: label` (what a row is about, e.g. its scale); neither: what only the paper has.
- `rows`: `method`, `cells` in the order of the columns, and `settings`: alternatives of the network's class and
  arguments, the recurrent order, ... that make a result of ours belong below this row. Where papers copy rows from each
  other: `source`, where it is printed; `how`, "copied" from table to table, or "second-hand", by somebody else; `ssim`,
  a key of `SSIM_KINDS`; `remark`.
- `measured`: the same of ours, shipped with the package: `facts` are what `settings` are compared with, `source` says
  how it was measured.
- `requires`: settings that any result of ours must have.

Cells are texts as the paper prints them, "PSNR / SSIM" or one of the two (an SSIM is at most 1), numbers of parameters,
or null where there is none. `sets.yaml` knows the test sets.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from restore_lightning.errors import UserError, did_you_mean
from restore_lightning.metrics import MeanScores

FOLDER = Path(__file__).parent
PAPERS = ("durn", "mbn", "drn", "din", "aio", "cdd")


class SSIMKind(NamedTuple):
    """A way to compute SSIM that a table's rows may differ in.

    Args:
        protocols: Ours that compute it.
        about: What it is.
    """

    protocols: tuple[str, ...]
    about: str


SSIM_KINDS = {
    "u": SSIMKind(("aio-rgb",), "uniform window 7x7, sample covariance"),
    "g": SSIMKind(("moce-rgb",), "Gaussian window, sample covariance"),
    "p": SSIMKind(("instructir-rgb", "dcpt-rgb"), "Gaussian window, population covariance"),
    "?": SSIMKind((), "not said"),
}
"""Those of all-in-one restoration: the same image's differ by up to 0.024."""

Settings = Mapping[str, Any]


Cell = str | int | MeanScores | None
"""The paper's cells are texts and whole numbers, ours scores."""


class Column(NamedTuple):
    """A column of a table.

    Args:
        name: As printed.
        sets: Test set -> protocol; several: the mean over them; empty: no scores.
        kind: "parameters": the network's; "label": what a row is about; "paper": what only the paper has.
    """

    name: str
    sets: Mapping[str, str]
    kind: Literal["scores", "parameters", "label", "paper"]


class Row(NamedTuple):
    """A row of the paper.

    Args:
        method: As printed, with its reference.
        cells: By column.
        settings: Alternatives that make a result of ours belong below this row.
        source: Where it is printed, where rows differ in that.
        how: How it came there.
        ssim: Which kind its SSIM is, where rows differ in that.
        remark: What a reader should know of it.
    """

    method: str
    cells: Sequence[str | int | None]
    settings: Sequence[Settings] = ()
    source: str = ""
    how: Literal["", "copied", "second-hand"] = ""
    ssim: str = ""
    remark: str = ""

    @property
    def origin(self) -> str:
        """Where it is printed and how it came there; "" where the paper is all."""
        copied = {"": "", "copied": "copied from table to table", "second-hand": "second-hand"}[self.how]
        return "; ".join(part for part in (self.source, copied, self.remark) if part)


class Measured(NamedTuple):
    """A row of ours that is shipped with the package.

    Args:
        method: What was measured.
        cells: By column.
        facts: What rows' settings are compared with.
        source: How it was measured.
    """

    method: str
    cells: Sequence[str | int | None]
    facts: Settings
    source: str


class Table(NamedTuple):
    """A published table.

    Args:
        name: E.g. "drn-1".
        paper: short, title, authors, published, url.
        title: What it shows.
        source: Which table of the paper.
        columns: Its columns.
        rows: The paper's rows.
        measured: Rows of ours.
        transposed: Printed with methods as columns.
        requires: Settings that results of ours must have.
        notes: What a reader should know.
    """

    name: str
    paper: Mapping[str, str]
    title: str
    source: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    measured: Sequence[Measured]
    transposed: bool
    requires: Settings
    notes: str

    @property
    def sets(self) -> set[str]:
        """All its test sets."""
        return {name for column in self.columns for name in column.sets}

    @property
    def ssim(self) -> str:
        """Which kind of SSIM the protocols of its columns compute; "" where its rows do not differ in that."""
        if not any(row.ssim for row in self.rows):
            return ""
        protocols = {protocol for column in self.columns for protocol in column.sets.values()}
        return next(kind for kind, about in SSIM_KINDS.items() if protocols <= set(about.protocols))


@cache
def tables() -> dict[str, Table]:
    """All tables by name, paper by paper."""
    return {table.name: table for paper in PAPERS for table in _of_paper(paper)}


def table(name: str) -> Table:
    """The table of a name.

    >>> table("drn-1").columns[2].sets
    {'Rain12': 'matlab-y'}

    Raises:
        UserError: No such table.
    """
    if name not in tables():
        raise UserError(f"unknown table {name!r}: choose one of {', '.join(tables())}{did_you_mean(name, tables())}")
    return tables()[name]


def printed_score(cell: str) -> tuple[str | None, str | None]:
    """PSNR and SSIM of a cell, with the paper's digits.

    >>> printed_score("32.02 / 0.855"), printed_score("0.9560"), printed_score("- / -")
    (('32.02', '0.855'), (None, '0.9560'), (None, None))
    """
    numbers = re.findall(r"\d+\.\d+", cell)
    psnr = next((number for number in numbers if float(number) > 1), None)
    return psnr, next((number for number in numbers if float(number) <= 1), None)


def images_of(test_set: str) -> int:
    """How many images a published test set has."""
    count: int = _sets()[test_set]["images"]
    return count


def known_set(name: str) -> str | None:
    """A test set by any of its names, without regard to case and punctuation; None: unknown.

    >>> known_set("sots-indoor"), known_set("val/rain")
    ('SOTS indoor', None)
    """
    return _names().get(_letters(name))


@cache
def _names() -> dict[str, str]:
    return {
        _letters(name): test_set for test_set, about in _sets().items() for name in (test_set, *about.get("names", ()))
    }


def _letters(name: str) -> str:
    """Its letters and digits, in lower case."""
    return re.sub(r"[\W_]", "", name.casefold())


@cache
def _sets() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "sets.yaml").read_text(encoding="utf-8"))
    return read


def _of_paper(stem: str) -> list[Table]:
    read = yaml.safe_load((FOLDER / f"{stem}.yaml").read_text(encoding="utf-8"))
    return [_table(f"{stem}-{number}", read["paper"], **given) for number, given in read["tables"].items()]


def _table(name: str, paper: Mapping[str, str], **given: Any) -> Table:
    columns = [
        Column(column, about.get("sets", {}), "scores" if "sets" in about else about.get("kind", "paper"))
        for column, about in given.pop("columns").items()
    ]
    rows = [Row(**row) for row in given.pop("rows")]
    measured = [Measured(**row) for row in given.pop("measured", ())]
    defaults = {"transposed": False, "requires": {}, "notes": ""}
    return Table(name, paper, columns=columns, rows=rows, measured=measured, **{**defaults, **given})
