"""A page that is served, and a visit to it."""

import os
import re
import signal
import subprocess
import sys

import pytest

TILE = 80


def started(checkpoint, **environment):
    """`restore demo` of a checkpoint in a process of its own, and the line that it says first."""
    words = [sys.executable, "-m", "restore_lightning", "demo", checkpoint, "--port", "0", "--tile", str(TILE)]
    process = subprocess.Popen(
        [*map(str, words), "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
    )  # fmt: skip
    return process, process.stdout.readline()


@pytest.fixture(scope="module")
def served(step_1):
    """The address of the page; in the end Ctrl-C ends the server, as it ends other verbs."""
    process, line = started(step_1)
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    if found:
        yield found[0]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert found, err
    assert (process.returncode, err) == (130, "restore: interrupted\n")


@pytest.fixture
def visit(browser, served):
    """Open the page; at the end, nothing was asked of others or complained about."""
    contexts, complaints, requests = [], [], []

    def open_page(size):
        contexts.append(browser.new_context(viewport={"width": size[0], "height": size[1]}))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(served)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith((served, "data:"))] == []
