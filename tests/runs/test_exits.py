"""How a process ends when something hangs in it."""

import subprocess
import sys

import pytest

from restore_lightning.runs import exits


def test_work_that_is_done_in_time():
    done = []
    assert exits.done_within(60, lambda: done.append(1))
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        exits.done_within(60, lambda: 1 / 0)


def test_a_process_does_not_wait_for_what_hangs():
    """Neither for the thread nor, at its exit, for whoever waits for it there."""
    script = """
import atexit, threading
from restore_lightning.runs import exits
never = threading.Event()
exits.leave(5)
atexit.register(never.wait)
print(exits.done_within(0.1, never.wait))
exits.leave(3)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "False\n"), done.stderr


def test_a_second_interrupt_ends_at_once():
    script = """
import os, signal
from restore_lightning.runs import signals
with signals.receiving_signals():
    signals.receive_interrupts(aloud=True)
    os.kill(os.getpid(), signal.SIGINT)
    print(signals.received_signal(), flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-2, "2\n")
    assert done.stderr == "\nstopping where this step ends, saved; Ctrl-C again: at once\n"
