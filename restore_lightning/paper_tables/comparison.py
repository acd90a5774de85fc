"""A published table with our scores in it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from restore_lightning.data.sources.bundled import BUNDLED
from restore_lightning.metrics import MeanScores
from restore_lightning.paper_tables.printed import SSIM_KINDS, Cell, Column, Row, Settings, Table, known_set
from restore_lightning.paper_tables.provenance import origin_of
from restore_lightning.paper_tables.row_matching import network_facts, row_of
from restore_lightning.reports.scores_json import DEGRADED, RESTORED, RunScores, SetResult, mean_over_sets

SAME = {"mbn-rgb": "durn-rgb", "din-y": "matlab-y"}
"""Protocols that compute the same as another one."""


_Scored = tuple[str, str]
"""A run's name of a set, and a protocol that it was scored by."""


class ShownRow(NamedTuple):
    """A row to show.

    Args:
        method: What is scored.
        cells: By column of the table.
        origin: Where a row of ours comes from; None: the paper's.
        printed: Where a row of the paper's is printed, where rows differ in that.
        ssim: Which kind its SSIM is, where it is not that of the table's other rows.
    """

    method: str
    cells: Sequence[Cell]
    origin: str | None = None
    printed: str = ""
    ssim: str = ""


class Comparison(NamedTuple):
    """A published table with ours in it.

    Args:
        table: The published one.
        rows: Its rows, and ours below those that they belong to, the others last.
        left_out: Scores of its test sets that do not belong in it, and why.
    """

    table: Table
    rows: Sequence[ShownRow]
    left_out: Sequence[str]


class _Ours(NamedTuple):
    """A row of ours, and what tells where it belongs: its title, and facts that rows' settings are compared with."""

    title: str
    facts: Settings
    row: ShownRow


def compare(table: Table, runs: Mapping[Path, RunScores]) -> Comparison:
    """A published table with the scores of our runs in it."""
    ours = [
        _Ours(row.method, row.facts, ShownRow(row.method, row.cells, f"score shipped with the package; {row.source}"))
        for row in table.measured
    ]
    left_out = []
    for run, scores in runs.items():
        found, reasons = _rows(table, run, scores)
        ours += found
        left_out += reasons
    places = [row_of(table, mine.title, mine.facts) for mine in ours]
    rows = []
    for number, row in enumerate(table.rows):
        kind = "" if row.ssim == table.ssim else row.ssim
        rows.append(ShownRow(row.method, row.cells, printed=row.origin, ssim=kind))
        rows += [_labelled(table, row, mine.row) for mine, place in zip(ours, places, strict=True) if place == number]
    rows += [mine.row for mine, place in zip(ours, places, strict=True) if place is None]
    return Comparison(table, rows, left_out)


def _rows(table: Table, run: Path, scores: RunScores) -> tuple[list[_Ours], list[str]]:
    """A run's rows in a table, and its scores of the table's sets that do not belong there."""
    scored = {name: result for name, result in scores.sets.items() if known_set(name) in table.sets}
    by_protocol = {(name, by): one for name, all_of in scored.items() for by, one in all_of.by_protocol().items()}
    facts = network_facts(scores)
    for key, needed in table.requires.items():
        if scored and facts.get(key, needed) != needed:
            reason = f"its network has {key} {facts[key]}, this table's {needed}"
            return [], [f"{run}: {', '.join(scored)}: {reason}: left out"]
    ours: list[_Ours] = []
    used: dict[_Scored, SetResult] = {}
    blank: list[str] = []
    for columns, kind, by in _views(table):
        chosen = [_chosen(column, by_protocol) for column in columns]
        mine = {key: result for key, result in by_protocol.items() if any(key in keys for keys in chosen)}
        used |= mine
        blank += _blank_means(table, run, mine, by)
        ours += _rows_of_view(table, run, scores, chosen, mine, kind, by)
    left_out = [
        f"{run}: {name} {_reason(table, name, result)}: left out"
        for name, result in scored.items()
        if all((name, by) not in used for by in result.by_protocol())
    ]
    left_out += [
        f"{run}: {name}, {version}: a score is no number (NaN): left out"
        for (name, _), result in used.items()
        for version, means in result.versions.items()
        if not means.are_numbers
    ]
    return ours, left_out + blank


def _views(table: Table) -> Iterator[tuple[Sequence[Column], str, str]]:
    """The columns by their protocols, then by those of rows whose SSIM is of another kind: columns, kind, protocol."""
    yield table.columns, "", ""
    for kind in dict.fromkeys(row.ssim for row in table.rows if row.ssim not in ("", table.ssim)):
        for protocol in SSIM_KINDS[kind].protocols:
            yield (
                [column._replace(sets=dict.fromkeys(column.sets, protocol)) for column in table.columns],
                kind,
                protocol,
            )


def _rows_of_view(
    table: Table,
    run: Path,
    scores: RunScores,
    chosen: Sequence[Sequence[_Scored]],
    used: Mapping[_Scored, SetResult],
    kind: str,
    by: str,
) -> list[_Ours]:
    """A row for each method of a run; `chosen` are each column's sets, `kind` and `by` another SSIM's."""
    ours = []
    for version, title, method_facts in _methods(table, scores):
        cells = [
            _mean([used[key].versions.get(version) for key in keys])
            if keys
            else _parameters(column, method_facts, scores)
            for column, keys in zip(table.columns, chosen, strict=True)
        ]
        if any(isinstance(cell, MeanScores) for cell in cells):
            name = f"{title} ({run})" + (f" by {by}" if by else "")
            row = ShownRow(name, cells, origin_of(version, scores, used), ssim=kind)
            ours.append(_Ours(title, method_facts, row))
    return ours


def _blank_means(table: Table, run: Path, used: Mapping[_Scored, SetResult], by: str) -> list[str]:
    """Means over columns of which a run has some and lacks others, by the columns' protocols or another one."""
    have = {known_set(name) for name, _ in used}
    alone = {name for column in table.columns if len(column.sets) == 1 for name in column.sets}
    said = []
    for column in table.columns:
        lacking = [name for name in column.sets if name not in have]
        if have and lacking and len(column.sets) > 1 and column.sets.keys() <= alone:
            are = "is" if len(lacking) == 1 else "are"
            title = f"{column.name} by {by}" if by else column.name
            said.append(f"{run}: {title}: {', '.join(lacking)} {are} missing: left blank")
    return said


def _chosen(column: Column, scored: Mapping[_Scored, SetResult]) -> list[_Scored]:
    """The names by which a run knows a column's sets, scored by its protocols; a mean is over all that it scored."""
    known = {
        (name, by): (known_set(name), _computed_by(by))
        for (name, by), result in scored.items()
        if not _is_bundled(result)  # whose sets are called like their factors, as paper 2's mixed ones
    }
    wanted = [(test_set, _computed_by(protocol)) for test_set, protocol in column.sets.items()]
    first = {pair: key for key, pair in reversed(known.items())}
    keys = [first[pair] for pair in wanted if pair in first]
    is_whole = len(keys) == len(wanted) and (
        len(keys) == 1 or {test_set for test_set, _ in known.values()} == column.sets.keys()
    )
    return keys if is_whole else []


def _is_bundled(result: SetResult) -> bool:
    return (result.data or "").startswith(BUNDLED)


def _computed_by(protocol: str) -> str:
    return SAME.get(protocol, protocol)


def _reason(table: Table, name: str, result: SetResult) -> str:
    """Why a score of one of the table's sets is not in it."""
    if _is_bundled(result):
        return f"is {BUNDLED}, no published set"
    columns = [column for column in table.columns if known_set(name) in column.sets]
    needed = dict.fromkeys(
        view.sets[str(known_set(name))] for views, *_ in _views(table) for view in views if known_set(name) in view.sets
    )
    if not set(map(_computed_by, result.by_protocol())) & set(map(_computed_by, needed)):
        return f"was scored by {', '.join(result.by_protocol())}, this table's is {' or '.join(needed)}"
    if any(len(column.sets) == 1 for column in columns):
        return f"is {known_set(name)} once more"
    return f"is a part of this table's means, over {', or over '.join(' and '.join(c.sets) for c in columns)}"


def _methods(table: Table, scores: RunScores) -> Iterator[tuple[str, str, Settings]]:
    """Version, title and facts of each method; the degraded images where the paper has a row for them."""
    network = network_facts(scores)
    if any(settings.get("class") == "input" for row in table.rows for settings in row.settings):
        yield DEGRADED, "degraded images", {**network, "class": "input"}
    # What a baseline is made of is not recorded; step 1's network is the same one.
    facts: dict[str, Settings] = {RESTORED: network, "told": {**network, "order": None}}
    for version, method in scores.methods.items():
        yield version, method.title, facts.get(version, {})


def _parameters(column: Column, facts: Settings, scores: RunScores) -> int | None:
    return scores.parameters if column.kind == "parameters" and facts.get("class", "input") != "input" else None


def _mean(scores: Sequence[MeanScores | None]) -> MeanScores | None:
    found = [means for means in scores if means is not None and means.are_numbers]
    return mean_over_sets(found) if len(found) == len(scores) else None


def _labelled(table: Table, row: Row, ours: ShownRow) -> ShownRow:
    """What the row is about holds for ours below it."""
    cells = [
        theirs if column.kind == "label" else mine
        for column, theirs, mine in zip(table.columns, row.cells, ours.cells, strict=True)
    ]
    return ours._replace(cells=cells)
