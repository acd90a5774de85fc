"""Scores of ours: read from `scores.json` files, and brought into the columns of a published table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from restore_lightning.errors import UserError
from restore_lightning.metrics import mean_over_images
from restore_lightning.paper_tables.printed import Cell, Column, Row, Score, Settings, Table, images_of, known_set

UNKNOWN = "not recorded"
"""For what a file of an older version does not say."""
PHOTOGRAPHS = "scikit-image's photographs"
"""What a run without test sets is scored on; its sets are called like their factors, as paper 2's mixed ones."""
SAME = {"mbn-rgb": "durn-rgb", "din-y": "matlab-y"}
"""Protocols that compute the same as another one."""


class Report(NamedTuple):
    """A `scores.json`.

    Args:
        run: Its folder.
        content: What it says.
    """

    run: Path
    content: Mapping[str, Any]


class Line(NamedTuple):
    """A row to print.

    Args:
        method: What is scored.
        cells: By column of the table.
        origin: Where a row of ours comes from; None: the paper's.
    """

    method: str
    cells: Sequence[Cell]
    origin: str | None = None


class Comparison(NamedTuple):
    """A published table with ours in it.

    Args:
        table: The published one.
        lines: Its rows, and ours below those that they belong to, the others last.
        left_out: Scores of its test sets that do not belong in it, and why.
    """

    table: Table
    lines: Sequence[Line]
    left_out: Sequence[str]


class _Ours(NamedTuple):
    """A method's row, and what tells where it belongs: its title, and facts that rows' settings are compared with."""

    title: str
    facts: Settings
    line: Line


def read_reports(folder: Path) -> tuple[list[Report], list[str]]:
    """Every `scores.json` below a folder, and what is wrong with those that are none.

    Raises:
        UserError: No such folder, or there is none in it.
    """
    if not folder.is_dir():
        raise UserError(f"--results {folder} is no folder: give the one with your runs, e.g. runs")
    paths = sorted(folder.rglob("scores.json"))
    if not paths:
        raise UserError(f"no scores.json below {folder}: restore test writes one into the folder of each run")
    reports, problems = [], []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not _of_folders(content):
                reports.append(Report(path.parent, _checked(content)))
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{path} is no file of restore test: {error}")
    return reports, problems


def compare(table: Table, reports: Sequence[Report] = ()) -> Comparison:
    """A published table with our scores in it."""
    ours = [
        _Ours(row.method, row.facts, Line(row.method, row.cells, f"shipped with the package; {row.source}"))
        for row in table.measured
    ]
    left_out = []
    for report in reports:
        found, reasons = _rows(table, report)
        ours += found
        left_out += reasons
    places = [_place(table, row) for row in ours]
    lines = []
    for number, row in enumerate(table.rows):
        below = [_labelled(table, row, mine.line) for mine, place in zip(ours, places, strict=True) if place == number]
        lines += [Line(row.method, row.cells), *below]
    lines += [mine.line for mine, place in zip(ours, places, strict=True) if place is None]
    return Comparison(table, lines, left_out)


def _of_folders(content: Any) -> bool:
    """Whether `restore score` wrote it: of which set and method its scores are, it cannot say."""
    return isinstance(content, dict) and isinstance(content.get("images"), list) and "protocol" in content


def _checked(content: Any) -> Mapping[str, Any]:
    """What a file says, if it says scores.

    Raises:
        ValueError: It does not.
    """
    if not isinstance(content, dict) or not isinstance(content.get("sets"), dict):
        raise ValueError('it has no "sets"')
    for name, entry in content["sets"].items():
        if not isinstance(entry, dict) or not isinstance(entry.get("protocol"), str):
            raise ValueError(f"set {name!r} has no protocol")
        if type(entry.get("images")) is not int:
            raise ValueError(f"set {name!r} has no number of images")
        for version in _versions(entry):
            # What is no number was written as null.
            if not all(isinstance(entry[version].get(key, ""), float | int | None) for key in ("psnr", "ssim")):
                raise ValueError(f"set {name!r}, {version}: no psnr and ssim")
    network = content.get("network") or {}
    mappings = {key: content.get(key) for key in ("methods", "network", "inference", "inferences", "checkpoints")}
    mappings |= {"init_args": network.get("init_args")} if isinstance(network, dict) else {}
    for key, value in mappings.items():
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"{key!r} is no mapping")
    for version, way in (content.get("inferences") or {}).items():
        if not isinstance(way, dict):
            raise ValueError(f"inferences of {version!r}: no mapping")
    if type(content.get("parameters")) not in (int, type(None)):
        raise ValueError(f"parameters {content['parameters']!r}: no whole number")
    return content


def _versions(entry: Mapping[str, Any]) -> list[str]:
    return [key for key, value in entry.items() if isinstance(value, dict)]


def _rows(table: Table, report: Report) -> tuple[list[_Ours], list[str]]:
    """A run's rows in a table, and its scores of the table's sets that do not belong there."""
    content = report.content
    scored = {name: entry for name, entry in content["sets"].items() if known_set(name) in table.sets}
    facts = _facts(content)
    for key, needed in table.requires.items():
        if scored and facts.get(key, needed) != needed:
            reason = f"its network has {key} {facts[key]}, this table's {needed}"
            return [], [f"{report.run}: {', '.join(scored)}: {reason}: left out"]
    chosen = [_chosen(column, scored) for column in table.columns]
    used = {name for names in chosen for name in names}
    left_out = [
        f"{report.run}: {name} {_reason(table, name, entry)}: left out"
        for name, entry in scored.items()
        if name not in used
    ]
    left_out += [
        f"{report.run}: {name}, {version}: a score is no number (NaN): left out"
        for name, entry in scored.items()
        for version in _versions(entry)
        if name in used and _lacking(entry[version])
    ]
    ours = []
    for version, title, method_facts in _methods(table, content):
        shown = {name: entry for name, entry in scored.items() if name in used and version in entry}
        cells = [
            _mean([scored[name].get(version) for name in names]) if names else _own(column, method_facts, content)
            for column, names in zip(table.columns, chosen, strict=True)
        ]
        if any(isinstance(cell, Score) for cell in cells):
            line = Line(f"{title} ({report.run})", cells, _origin(version, content, shown))
            ours.append(_Ours(title, method_facts, line))
    return ours, left_out


def _chosen(column: Column, scored: Mapping[str, Any]) -> list[str]:
    """The names by which a run knows a column's sets, scored by its protocols; a mean is over all that it scored."""
    known = {
        name: (known_set(name), _plain(entry["protocol"]))
        for name, entry in scored.items()
        if entry.get("data") != PHOTOGRAPHS
    }
    wanted = [(test_set, _plain(by)) for test_set, by in column.sets.items()]
    names = [next((name for name in known if known[name] == pair), "") for pair in wanted]
    is_whole = all(names) and (len(names) == 1 or {test_set for test_set, _ in known.values()} == column.sets.keys())
    return names if is_whole else []


def _plain(protocol: str) -> str:
    return SAME.get(protocol, protocol)


def _reason(table: Table, name: str, entry: Mapping[str, Any]) -> str:
    """Why a score of one of the table's sets is not in it."""
    if entry.get("data") == PHOTOGRAPHS:
        return f"is {PHOTOGRAPHS}, no published set"
    protocol = entry["protocol"]
    columns = [column for column in table.columns if known_set(name) in column.sets]
    needed = dict.fromkeys(column.sets[str(known_set(name))] for column in columns)
    if _plain(protocol) not in map(_plain, needed):
        return f"was scored by {protocol}, this table's is {' or '.join(needed)}"
    if all(len(column.sets) == 1 for column in columns):
        return f"is {known_set(name)} once more"
    return f"is a part of this table's means, over {', or over '.join(' and '.join(c.sets) for c in columns)}"


def _methods(table: Table, content: Mapping[str, Any]) -> Iterator[tuple[str, str, Settings]]:
    """Version, title and facts of each method; the degraded images where the paper has a row for them."""
    network = _facts(content)
    if any(settings.get("class") == "input" for row in table.rows for settings in row.settings):
        yield "degraded", "degraded images", {**network, "class": "input"}
    versions = {version: version for entry in content["sets"].values() for version in _versions(entry)}
    for version, title in {**versions, **(content.get("methods") or {})}.items():
        # What a baseline is made of is not recorded; step 1's network is the same one.
        facts = {"restored": network, "told": {**network, "order": None}}.get(version, {})
        if version != "degraded":
            yield version, str(title), facts


def _facts(content: Mapping[str, Any]) -> dict[str, Any]:
    network = content.get("network")
    if not network:
        return {}
    own = {"class": str(network.get("class_path")).rpartition(".")[2], "order": content.get("order")}
    ensemble = (content.get("inference") or {}).get("self_ensemble", False)
    return {**(network.get("init_args") or {}), **own, "self_ensemble": ensemble}


def _own(column: Column, facts: Settings, content: Mapping[str, Any]) -> int | None:
    if column.kind == "parameters" and facts.get("class", "input") != "input":
        return content.get("parameters")
    return None


def _mean(scores: Sequence[Mapping[str, float] | None]) -> Score | None:
    found = [entry for entry in scores if entry is not None and not _lacking(entry)]
    if len(found) < len(scores):
        return None
    return Score(*(mean_over_images(np.array([entry[key] for entry in found])) for key in ("psnr", "ssim")))


def _lacking(scores: Mapping[str, float | None]) -> bool:
    """Whether one of them is no number, which is written as null."""
    return None in (scores["psnr"], scores["ssim"])


def _origin(version: str, content: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """Checkpoint, way of use, and for each set how, on how many images and on what it was scored."""
    checkpoint = (content.get("checkpoints") or {}).get(version)
    if checkpoint is None and version == "restored":
        checkpoint = content.get("checkpoint")
    if isinstance(checkpoint, dict):
        checkpoint = ", ".join(f"{factor} {path}" for factor, path in checkpoint.items())
    parts = [] if version == "degraded" else [f"checkpoint {checkpoint or UNKNOWN}", _way(version, content)]
    for name, entry in shown.items():
        published = images_of(str(known_set(name)))
        images = f"{entry['images']} image{'s' * (entry['images'] != 1)}"
        if entry["images"] != published:
            images += f" (the published set has {published})"
        if entry[version].get("identical"):
            images += f", {entry[version]['identical']} of them equal to the clean ones and left out of the mean PSNR"
        parts.append(f"{name} by {entry['protocol']}, {images}, data {entry.get('data') or UNKNOWN}")
    return "; ".join(parts)


def _way(version: str, content: Mapping[str, Any]) -> str:
    inference = (content.get("inferences") or {}).get(version)
    if inference is None and version == "restored":
        inference = content.get("inference")
    if inference is None:
        return f"inference {UNKNOWN}"
    tile = inference.get("tile")
    parts = [f"tiles of {tile} with an overlap of {inference.get('overlap')}" if tile else "whole images"]
    if inference.get("local_statistics"):
        parts.append(f"local statistics over {inference['local_statistics']}")
    return ", ".join([*parts, *["self-ensemble"] * bool(inference.get("self_ensemble"))])


def _place(table: Table, ours: _Ours) -> int | None:
    """The row below which ours belongs; None: below none.

    It has the settings of the row, the one with most of them where several agree. Where one of the two has none, the
    name decides.
    """
    agreeing = {
        number: max((len(settings) for settings in row.settings if _agree(settings, ours.facts)), default=0)
        for number, row in enumerate(table.rows)
    }
    named = [number for number, row in enumerate(table.rows) if _name(row.method) == _name(ours.title)]
    if len(named) == 1 and not (table.rows[named[0]].settings and ours.facts):
        return named[0]
    best = max(agreeing, key=agreeing.__getitem__)
    return best if agreeing[best] else None


def _agree(settings: Settings, facts: Settings) -> bool:
    return all(key in facts and _ordered(facts[key]) == _ordered(value) for key, value in settings.items())


def _ordered(value: Any) -> Any:
    """Factors on one level of a hierarchy, a list within the list, have no order."""
    if not isinstance(value, list):
        return value
    return [sorted(map(str, each)) if isinstance(each, list) else each for each in value]


def _name(method: str) -> str:
    """A method's name without its reference.

    >>> _name("R-MBN (factor unknown)"), _name("Liu et al. [42]")
    ('r-mbn', 'liu et al.')
    """
    for rest in ("(ours)", "(Ours)", "(factor told)", "(factor unknown)"):
        method = method.replace(rest, "")
    return method.partition("[")[0].strip().casefold()


def _labelled(table: Table, row: Row, line: Line) -> Line:
    """What the row is about holds for ours below it."""
    cells = [
        theirs if column.kind == "label" else mine
        for column, theirs, mine in zip(table.columns, row.cells, line.cells, strict=True)
    ]
    return line._replace(cells=cells)
