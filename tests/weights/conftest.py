"""A hub, and command lines that use it."""

import json
import os
import subprocess
import sys
import threading

import pytest

from tests.weights.hub_server import TOKEN, serving

COMMANDS = """
import contextlib, io, json, sys
from restore_lightning.cli import main
results = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def hub():
    server, held = serving()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield held
    server.shutdown()
    server.server_close()


@pytest.fixture
def commands(hub, tmp_path):
    """Command lines -> (exit code, output, error) of each, all in one other process."""

    def run(*lines, **environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        kept |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        words = json.dumps([[str(word) for word in line] for line in lines])
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, words],
            capture_output=True, text=True, timeout=300, check=False, env=kept | environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
