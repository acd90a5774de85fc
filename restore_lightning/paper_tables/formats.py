"""A comparison as Markdown, CSV or LaTeX."""

import csv
import io
import re
from collections.abc import Callable, Sequence

from restore_lightning.metrics import MeanScores
from restore_lightning.paper_tables.comparison import Comparison, ShownRow
from restore_lightning.paper_tables.printed import SSIM_KINDS, Cell, Column, images_of, printed_score

OURS = "ours: "
"""What the names of our rows begin with."""


def markdown(comparison: Comparison) -> str:
    """A table, then where its numbers are from."""
    rows = [[_markdown_text(cell) for cell in row] for row in _grid(comparison)]
    widths = [max(3, *(len(row[place]) for row in rows)) for place in range(len(rows[0]))]
    rule = [":" + "-" * (width - 1) if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    padded = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    ]
    lines = [f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:])]
    remarks = [f"- {_markdown_text(remark)}" for remark in _remarks(comparison)]
    return "\n".join([f"**{_markdown_text(_caption(comparison))}**", "", *lines, "", *remarks]) + "\n"


def as_csv(comparison: Comparison) -> str:
    """A row per method, PSNR and SSIM in columns of their own; ours with more digits."""
    columns = comparison.table.columns
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    kind = comparison.table.ssim
    ssim = ["SSIM"] if kind else []
    written.writerow(["method", "from", *(head for column in columns for head in _csv_heads(column)), *ssim, "origin"])
    for row in comparison.rows:
        cells = [part for column, cell in zip(columns, row.cells, strict=True) for part in _csv_cells(column, cell)]
        cells += [row.ssim or kind] if kind else []
        written.writerow([row.method, "published" if row.origin is None else "ours", *cells, row.origin or row.printed])
    return text.getvalue()


def latex(comparison: Comparison) -> str:
    """A tabular for the package booktabs; where its numbers are from as comments."""
    head, *rows = ([_latex_text(cell) for cell in row] for row in _grid(comparison))
    body = [f"{' & '.join(row)} \\\\" for row in rows]
    tabular = [f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule", f"{' & '.join(head)} \\\\", r"\midrule"]
    comments = [f"% {' '.join(remark.split())}" for remark in _remarks(comparison)]
    first = [f"% {_caption(comparison)}", r"% \usepackage{booktabs}"]
    return "\n".join([*first, *tabular, *body, r"\bottomrule", r"\end{tabular}", *comments]) + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {"markdown": markdown, "csv": as_csv, "latex": latex}


def _grid(comparison: Comparison) -> list[list[str]]:
    """Heads and cells as texts, as the paper prints them: methods as rows, or as columns."""
    table = comparison.table
    rows = [["", *(column.name for column in table.columns)]]
    rows += [[_title(row), *(_shown(cell, row.ssim) for cell in row.cells)] for row in comparison.rows]
    return [list(row) for row in zip(*rows, strict=True)] if table.transposed else rows


def _title(row: ShownRow) -> str:
    return row.method if row.origin is None else OURS + row.method


def _caption(comparison: Comparison) -> str:
    table, paper = comparison.table, comparison.table.paper
    return f"{table.name}: {table.title} ({paper['authors']}, {paper['published']}, {table.source})"


def _remarks(comparison: Comparison) -> list[str]:
    """What each column is, each of ours, what was left out, what there is to know."""
    table = comparison.table
    columns = [f"{column.name}: {_about(column)}" for column in table.columns if column.sets]
    unit = ["PSNR in dB / SSIM, means over images"] if columns else []
    ours = [f"{_title(row)}: {row.origin}" for row in comparison.rows if row.origin is not None]
    kinds = [
        f"SSIM marked {kind}: {about.about}{_computed_by(about.protocols)}; it does not compare with those that are not"
        " marked"
        for kind, about in SSIM_KINDS.items()
        if any(row.ssim == kind for row in comparison.rows)
    ]
    printed = [f"{row.method}: {row.printed}" for row in comparison.rows if row.printed]
    remarks = [*unit, *kinds, *columns, *printed, *ours, *comparison.left_out, table.notes, table.paper["url"]]
    return [remark for remark in dict.fromkeys(remarks) if remark]


def _computed_by(protocols: Sequence[str]) -> str:
    return f" ({' or '.join(protocols)})" if protocols else ""


def _about(column: Column) -> str:
    sets = [f"{name}, {images_of(name)} images, by {by}" for name, by in column.sets.items()]
    return sets[0].removeprefix(f"{column.name}, ") if len(sets) == 1 else f"mean over {'; '.join(sets)}"


def _shown(cell: Cell, ssim: str = "") -> str:
    """A cell; an SSIM of another kind than the table's is marked."""
    if isinstance(cell, int):
        return f"{cell:,}"
    marked = ssim and cell and printed_score(str(cell))[1]
    return f"{cell} {ssim}" if marked else str(cell or "")


def _csv_heads(column: Column) -> list[str]:
    return [f"{column.name} {part}" for part in ("PSNR", "SSIM")] if column.kind == "scores" else [column.name]


def _csv_cells(column: Column, cell: Cell) -> Sequence[Cell | float]:
    if column.kind != "scores":
        return [cell]
    if isinstance(cell, MeanScores):
        return [round(cell.psnr, 5), round(cell.ssim, 5)]
    return printed_score(cell) if isinstance(cell, str) else (None, None)


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\|*`<])", r"\\\1", " ".join(text.split()))


LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "→": r"$\rightarrow$",
    "\N{MULTIPLICATION SIGN}": r"$\times$", "—": "---", "<": r"\textless{}", ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip
"""Characters that mean something else in LaTeX."""


def _latex_text(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in " ".join(text.split()))
