"""Commands on the pretended device."""

import json
import os
import subprocess
import sys

from tests.conftest import CONF

DEVICE = ("--trainer.accelerator", "pretended", "--trainer.strategy", "pretended")


def on_device(*commands, float64: bool = True) -> list[dict]:
    """Commands of `restore` in one process that has the pretended device -> what each of them counted."""
    words = [str(word) for command in commands for word in ("then", *command)][1:]
    call = [sys.executable, "-m", "tests.pretended_gpu", *(() if float64 else ("--without-float64",)), *words]
    where = {"cwd": CONF.parents[1], "env": os.environ | {"RESTORE_DEBUG": "1"}}
    done = subprocess.run(call, capture_output=True, text=True, timeout=1200, check=False, **where)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1])
