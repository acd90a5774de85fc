"""The page of the command: what `--help` prints, of every verb."""

import io
import os
import re
import sys
from contextlib import redirect_stdout
from unittest.mock import patch

from restore_lightning.cli import main
from restore_lightning.commands import COMMANDS, TRAINER_VERBS

WIDTH = 100
"""Columns of the texts."""


def printed(*words: str, width: int = WIDTH) -> str:
    """What `restore` prints.

    Raises:
        RuntimeError: It fails.
    """
    text = io.StringIO()
    with (
        patch.dict(os.environ, {"COLUMNS": str(width)}),
        patch.object(sys, "argv", ["restore"]),
        redirect_stdout(text),
    ):
        code = main(words)
    if code != 0:
        raise RuntimeError(f"restore {' '.join(words)}: exit code {code}")
    return text.getvalue()


def command_page() -> str:
    """The page, in Markdown."""
    text = ["# The command", "", "What `--help` prints, of every verb.", "", _block(printed("--help"))]
    for verb in (*COMMANDS, *TRAINER_VERBS):
        help_text = printed(verb, "--help")
        text += [f"## restore {verb}", "", _block(help_text)]
        for each in verbs_of(help_text):
            text += [f"### restore {verb} {each}", "", _block(printed(verb, each, "--help"))]
    return "\n".join(text)


def verbs_of(help_text: str) -> list[str]:
    r"""The verbs below a verb.

    >>> verbs_of("positional arguments:\n  pack | info\n    pack      a data set -> shards\n    info      what ...\n")
    ['pack', 'info']
    """
    return re.findall(r"^    (\w+) {2,}\S", help_text, re.MULTILINE)


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"
