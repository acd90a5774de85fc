"""The order in which factors are removed, one branch pair after the other (paper 2, section 4.2)."""

from collections.abc import Sequence

PAPER_ORDER = ("jpeg", "haze", "blur", "rain")
"""Paper 2's recurrent order (section 5.2)."""


def order_given(order: Sequence[str], factors: Sequence[str], own: Sequence[str] | None) -> list[str]:
    """An order that a user gives for a trained network, checked.

    Args:
        order: Given.
        factors: The network's.
        own: The order that it was fine-tuned in, which may leave factors out; None: in none.

    Raises:
        ValueError: Factors that are unknown, named twice or missing.
    """
    if own is None or sorted(order) != sorted(own):
        check_order(order, factors)
    return list(order)


def check_order(order: Sequence[str], factors: Sequence[str], skip: Sequence[str] = ()) -> None:
    """Refuse an order that is no permutation of the network's factors.

    Args:
        order: Factors in the order in which they are removed.
        factors: The network's factors.
        skip: Factors that are left out on purpose.

    Raises:
        ValueError: Factors that are unknown, named twice or missing.
    """
    wanted = [factor for factor in factors if factor not in skip]
    problems = {
        "unknown": [factor for factor in dict.fromkeys((*order, *skip)) if factor not in factors],
        "named twice": [factor for factor in dict.fromkeys(order) if list(order).count(factor) > 1],
        "skipped all the same": [factor for factor in dict.fromkeys(order) if factor in skip],
        "missing": [factor for factor in wanted if factor not in order],
    }
    found = "; ".join(f"{problem}: {', '.join(names)}" for problem, names in problems.items() if names)
    if found:
        raise ValueError(f"order [{', '.join(order)}]: {found}. Name each of {', '.join(wanted)} once")
