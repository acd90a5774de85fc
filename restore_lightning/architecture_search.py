"""Candidates of paper 2's two-stage searches (sections 5.2 and A.1), and the table of their scores.

First all arrangements of some factors are tried, then each further factor is inserted everywhere into the best.
An arrangement is a list of levels: a factor, or a list of factors that share a level.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

from restore_lightning.errors import UserError
from restore_lightning.metrics import MeanScores

Arrangement = list[str | list[str]]


def orders(factors: Sequence[str]) -> list[Arrangement]:
    """All orders (table 2, left).

    >>> len(orders(["blur", "haze", "rain"]))
    6
    """
    return [list(order) for order in permutations(factors)]


def order_insertions(order: Arrangement, factor: str) -> list[Arrangement]:
    """A further factor at every place of an order (table 2, right).

    >>> order_insertions(["haze", "rain"], "jpeg")
    [['jpeg', 'haze', 'rain'], ['haze', 'jpeg', 'rain'], ['haze', 'rain', 'jpeg']]
    """
    return [[*order[:place], factor, *order[place:]] for place in range(len(order) + 1)]


def alignments(factors: Sequence[str]) -> list[Arrangement]:
    """All hierarchies of output branches, those with most levels first (table 5).

    >>> [show(alignment) for alignment in alignments(["rain", "haze"])]
    ['rain -> haze', 'haze -> rain', '[rain, haze]']
    """
    return sorted(map(_plain, _partitions(list(factors))), key=len, reverse=True)


def alignment_insertions(alignment: Arrangement, factor: str) -> list[Arrangement]:
    """A further factor on a level of its own, or on one of the levels (table 6).

    >>> [show(alignment) for alignment in alignment_insertions(["rain", "haze"], "jpeg")][-2:]
    ['[rain, jpeg] -> haze', 'rain -> [haze, jpeg]']
    """
    levels = [[level] if isinstance(level, str) else level for level in alignment]
    joined = [_plain([*levels[:i], [*level, factor], *levels[i + 1 :]]) for i, level in enumerate(levels)]
    return order_insertions(alignment, factor) + joined


def _partitions(factors: list[str]) -> Iterator[list[list[str]]]:
    if not factors:
        yield []
    for size in range(1, len(factors) + 1):
        for level in combinations(factors, size):
            for rest in _partitions([factor for factor in factors if factor not in level]):
                yield [list(level), *rest]


def _plain(levels: list[list[str]]) -> Arrangement:
    return [level[0] if len(level) == 1 else level for level in levels]


def show(arrangement: Arrangement) -> str:
    """For tables.

    >>> show(["rain", ["blur", "jpeg"], "haze"])
    'rain -> [blur, jpeg] -> haze'
    """
    return " -> ".join(level if isinstance(level, str) else f"[{', '.join(level)}]" for level in arrangement)


def flat(arrangement: Arrangement) -> list[str]:
    """Its factors."""
    return [factor for level in arrangement for factor in ([level] if isinstance(level, str) else level)]


class Search(NamedTuple):
    """What is searched.

    Args:
        first: Factors -> the arrangements of the first stage.
        insert: An arrangement and a further factor -> those of a later stage.
        key: Flag that sets an arrangement.
        settings: An arrangement and the network's factors -> arguments of task and network.
        testing: Further words for `restore test`.
    """

    first: Callable[[Sequence[str]], list[Arrangement]]
    insert: Callable[[Arrangement, str], list[Arrangement]]
    key: str
    settings: Callable[[Arrangement, list[str]], tuple[dict[str, Any], dict[str, Any]]]
    testing: tuple[str, ...] = ()


SEARCHES = {
    "recurrent_order": Search(
        orders,
        order_insertions,
        "--model.order",
        lambda order, factors: ({"order": order, "skip": [name for name in factors if name not in order]}, {}),
        # The network of step 1 is the same for all.
        ("--model.init_from", "null"),
    ),
    "output_hierarchy": Search(
        alignments,
        alignment_insertions,
        "--model.network.hierarchy",
        lambda alignment, factors: ({}, {"hierarchy": alignment}),
    ),
}


class Result(NamedTuple):
    """What an arrangement scored.

    Args:
        arrangement: What was tried.
        scores: Means over its test sets.
    """

    arrangement: Arrangement
    scores: MeanScores


def best_of(results: Sequence[Result]) -> Result:
    """The result of the highest PSNR; a candidate whose training diverged is none.

    Raises:
        UserError: All of them diverged.
    """
    scored = [result for result in results if result.scores.are_numbers]
    if not scored:
        raise UserError("no candidate has scores that are numbers: training diverged, see metrics.csv of the runs", 1)
    return max(scored, key=lambda result: result.scores.psnr)


def stage_table(results: Sequence[Result]) -> str:
    """A stage in the layout of tables 2, 5 and 6; the best PSNR is marked."""
    width = max(len(show(result.arrangement)) for result in results)
    best = best_of(results).scores.psnr
    return "\n".join(
        f"{show(arrangement):<{width}}  {scores!s:>15}{'  best' if scores.psnr == best else ''}"
        for arrangement, scores in results
    )
