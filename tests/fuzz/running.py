"""The command on odd input: it ends in time, with an exit code and lines that say why."""

import faulthandler
import io
import signal
import time
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from restore_lightning.cli import main

LIMIT = 120
"""Seconds that a command on a few small files may take, on a busy machine."""
SECONDS: dict[str, list[tuple[int, float]]] = {}
"""Kind of input -> exit code and seconds of each."""


class Outcome(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


def fuzzed(kind: str, *words, codes=(0, 1, 2)) -> Outcome:
    """Run a command in this process and check how it ends.

    Args:
        kind: Of input, for counting.
        words: Of the command line.
        codes: Exit codes that are right.
    """

    def hangs(*_):
        raise AssertionError(f"hangs: {words}")

    out, err = io.StringIO(), io.StringIO()
    begun = time.monotonic()
    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LIMIT)
    faulthandler.dump_traceback_later(2 * LIMIT, exit=True)  # within C no handler runs
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main([str(word) for word in words])
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    SECONDS.setdefault(kind, []).append((code, time.monotonic() - begun))
    said = f"{' '.join(map(str, words))}\nexit code {code}\n{err.getvalue()}"
    assert code in codes, said
    assert "Traceback" not in said, said
    assert "(RESTORE_DEBUG=1 shows where)" not in said, f"no error that is meant for users: {said}"
    told = [
        line for line in err.getvalue().splitlines() if line.startswith(("restore ", "not restored: ", "not scored: "))
    ]
    assert bool(told) == bool(code), said
    return Outcome(code, out.getvalue(), err.getvalue())
