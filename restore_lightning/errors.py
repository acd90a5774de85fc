"""Errors that reach the user as one line."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can change: a wrong key, file, folder or value.

    The message says what was given, what is allowed, and what to change. The command prints it
    as one line; `exit_code` is 2 for a wrong call and 1 for a run that failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        # A DataLoader makes the error of its worker anew, from the whole traceback.
        if message.startswith("Caught UserError in DataLoader worker"):
            message, exit_code = message.strip().rpartition("UserError: ")[2], 1
        super().__init__(message)
        self.exit_code = exit_code


LISTED = 20
"""How many files or problems a long message names."""


def shortened_list(items: Sequence[str], most: int = 5) -> str:
    """A list for one line: the first items, and how many more.

    >>> shortened_list(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest


def near_names(given: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Those of some names that look like another one, whatever their case; the nearest first."""
    names = {name.lower(): name for name in known}
    return [names[near] for near in get_close_matches(given.lower(), names, n=most)]


def did_you_mean(given: str, known: Iterable[str], before: str = "") -> str:
    """The end of a message about a name that there is not: the one that looks most like it, if any does.

    Args:
        given: The name; its case does not matter.
        known: Names that there are.
        before: What stands before both, such as a folder.

    >>> did_you_mean("durny", ["durn-rgb", "durn-y"])
    '; did you mean durn-y?'
    """
    near = near_names(given, known, most=1)
    return f"; did you mean {before}{near[0]}?" if near else ""


def shortened_text(text: str, most: int = 500) -> str:
    """A text for one line.

    >>> shortened_text("much too long", most=8)
    'much too …'
    """
    return text if len(text) <= most else f"{text[:most]} …"


def shortened_error(error: BaseException, most: int = 500) -> str:
    """Kind and message of an error, for one line.

    >>> shortened_error(KeyError("a"))
    "KeyError: 'a'"
    """
    return shortened_text(" ".join(f"{type(error).__name__}: {error}".split()), most)
