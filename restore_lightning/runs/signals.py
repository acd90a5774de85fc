"""Signals that end training: noted when they come, acted on where a step ends.

SIGTERM is what systems, schedulers and `kill` send, SIGUSR1 what Slurm sends ahead of a job's time limit
(`#SBATCH --signal=SIGUSR1@120`). Saving within a handler would hang: other processes may be in another collective.
Ctrl-C (SIGINT) stops training in the same way, once it has begun: before, there is nothing to save. Windows has no
SIGUSR1, and `taskkill` ends a process without any signal.
Nothing here imports torch: signals are received from the command's first moment on.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from restore_lightning.io.files import write_text
from restore_lightning.runs.exits import end_by_signal

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

log = logging.getLogger(__name__)

SIGNALS = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGTERM") if hasattr(signal, name))
"""What stops training; where processes got different ones, the larger number counts."""

PATIENCE = 60.0
"""Seconds after a signal from which on SIGTERM ends the process at once: it waits for others, or hangs."""

_receiving = False
_noted = 0
_since = 0.0


class Stopped(SystemExit):
    """Training ended early because of a signal; what it needs to go on is saved.

    Args:
        number: Of the signal.
        first: Whether this is the run's first process. The others end with 0: what started them takes any other code
            for a crash, and kills the first one before it has closed its logs.
    """

    def __init__(self, number: int, first: bool) -> None:
        super().__init__(128 + number if first else 0)


@contextmanager
def receiving_signals() -> Iterator[None]:
    """Within the block `SIGNALS` are noted instead of ending the process.

    Signals that whoever started the process ignores (`trap "" USR1`), or that the caller handles, stay so.
    """
    global _noted, _receiving
    _noted, _receiving = 0, True
    in_main = threading.current_thread() is threading.main_thread()  # others cannot set handlers
    ours = [number for number in SIGNALS if in_main and signal.getsignal(number) is signal.SIG_DFL]
    interrupt = signal.getsignal(signal.SIGINT)
    for number in ours:
        signal.signal(number, _note)
    try:
        yield
    finally:
        _noted, _receiving = 0, False
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if in_main:
            signal.signal(signal.SIGINT, interrupt)


def receive_interrupts(aloud: bool) -> None:
    """From here on Ctrl-C is noted like the other signals, once; the second one ends the process at once.

    Within `receiving_signals` alone, whose end undoes it. Jobs in the background, for which shells ignore it, go on
    ignoring it.

    Args:
        aloud: Whether this process says so when it comes.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            end_by_signal(number)
        came = True
        if aloud:  # not by a logger, which the signal may have interrupted
            os.write(2, b"\nstopping where this step ends, saved; Ctrl-C again: at once\n")
        _note(number, frame)

    in_main = threading.current_thread() is threading.main_thread()
    if _receiving and in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)


@contextmanager
def leaving_by_signals() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP end the process as Ctrl-C does: what its blocks have made goes with them.

    The exit code names the signal. Signals that whoever started the process ignores (nohup), or that the caller
    handles, stay so.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for each in ours:  # the terminal's end sends both
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    in_main = threading.current_thread() is threading.main_thread()  # others cannot set handlers
    ours = [number for number in known if in_main and signal.getsignal(number) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, leave)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def received_signal() -> int:
    """Number of the signal that came; 0: none."""
    return _noted


def ignore_signals_in_worker(worker: int) -> None:
    """In a data loader's worker: signals to the whole job are not for it, its end would be an error of the run.

    When the process that started it is killed, torch ends it within seconds; `exits.end_workers_at_exit` at any other
    end.

    Args:
        worker: Its number.
    """
    for number in {*SIGNALS, signal.SIGINT}:
        signal.signal(number, signal.SIG_IGN)
    # One SIGTERM only: at its end the trainer sends it to workers that hang.
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def _note(number: int, frame: FrameType | None) -> None:
    global _noted, _since
    if _noted == 0:
        _since = time.monotonic()
    elif number == signal.SIGTERM and time.monotonic() - _since > PATIENCE:
        end_by_signal(number)
    _noted = max(_noted, number)


STOPPED = ".stopped"
"""The file in a run's folder that names the signal which ended it."""


def stop_run(trainer: "Trainer", number: int) -> None:
    """End training; `<run>/.stopped` names the signal, for scripts that start the run again.

    Raises:
        Stopped: Always, with an exit code that names the signal.
    """
    if trainer.is_global_zero:
        name = signal.Signals(number).name
        write_text(Path(trainer.default_root_dir, STOPPED), f"{name}\n")
        log.info(
            "stopped by %s after step %d of %d: go on with --ckpt_path last",
            name,
            trainer.global_step,
            trainer.max_steps,
        )
    raise Stopped(number, trainer.is_global_zero)
