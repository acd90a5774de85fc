"""Below which row of a published table a result of ours belongs."""

from typing import Any

from restore_lightning.paper_tables.printed import Settings, Table
from restore_lightning.reports.scores_json import RunScores


def network_facts(scores: RunScores) -> dict[str, Any]:
    """What rows' settings are compared with: a tested network's class and arguments, and the way it was used."""
    if not scores.network:
        return {}
    own = {"class": str(scores.network.get("class_path")).rpartition(".")[2], "order": scores.order}
    ensemble = (scores.restored.inference or {}).get("self_ensemble", False)
    return {**(scores.network.get("init_args") or {}), **own, "self_ensemble": ensemble}


def row_of(table: Table, title: str, facts: Settings) -> int | None:
    """The row below which a result belongs; None: below none.

    It has the settings of the row, the one with most of them where several agree. Where one of the two has none, the
    name decides.

    Args:
        table: The published one.
        title: What the result's method is called.
        facts: What is known of the method.
    """
    agreeing = {
        number: max((len(settings) for settings in row.settings if _agree(settings, facts)), default=0)
        for number, row in enumerate(table.rows)
    }
    named = [number for number, row in enumerate(table.rows) if _name(row.method) == _name(title)]
    if len(named) == 1 and not (table.rows[named[0]].settings and facts):
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
