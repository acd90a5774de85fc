"""How this process ends: no worker survives it, and it waits for nothing that hangs.

Nothing here imports torch.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable

_hanging = False


def end_workers_at_exit() -> None:
    """Let no data loader's worker survive this process: at its exit, whatever the reason, those that are left end.

    An error leaves them alive, in its traceback. Python then sends each SIGTERM, once, and waits for its end:
    for ever, as `signals.ignore_signals_in_worker` takes that signal for one to the whole job.
    """
    atexit.unregister(end_workers)
    atexit.register(end_workers)  # comes before Python's own, which was registered by importing `multiprocessing`


def end_workers() -> None:
    """End what would keep this process from its exit; for a process that is about to end."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch takes the end of a worker for an error
    for child in multiprocessing.active_children():
        if child.daemon:  # as workers are
            child.kill()


def end_by_signal(number: int) -> None:
    """End at once, as this signal ends processes that do not handle it."""
    end_workers()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def done_within(seconds: float, work: Callable[[], None]) -> bool:
    """Whether a piece of work ended in time; its errors are raised here.

    What did not is left behind, and at the process's end `leave` does not wait for it.
    """
    global _hanging
    errors: list[Exception] = []

    def tried() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=tried, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    _hanging |= thread.is_alive()
    return not thread.is_alive()


def leave(code: int) -> None:
    """End the process with an exit code if something in it would not let it end so; else nothing.

    Something that hangs, or, behind an error, the connections to the run's other processes: closing them waits for
    what the others never send, or aborts.
    """
    distributed = sys.modules.get("torch.distributed")
    connected = distributed is not None and distributed.is_available() and distributed.is_initialized()
    if _hanging or (code != 0 and connected):
        sys.stdout.flush()
        sys.stderr.flush()
        end_workers()
        os._exit(code)
