"""Commands of pages that no other test runs: the real command line takes them, what they name is there."""

import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from restore_lightning.commands import TRAINER_VERBS

ROOT = Path(__file__).parents[1]
PAGES = {"export": "bash", "demo": "bash", "leaks": "bash", "weights": "console"}
"""Page -> language of its blocks; those of weights.md in bash are run by tests/weights/test_documentation.py."""


def commands():
    for page, language in PAGES.items():
        text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
        blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = "".join(blocks).replace("\\\n", "").splitlines()
        yield from (pytest.param(line, id=f"{page}: {line[:50]}") for line in lines if line)


@pytest.mark.parametrize("line", list(commands()))
def test_each_command_is_accepted(line, restore):
    given = re.sub(r" \[(-.*?)\]", r" \1", line)  # all that a synopsis allows
    program, *words = shlex.split(given, comments=True)
    if program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        assert words[1].removeprefix("restore-lightning[").rstrip("]") in extras
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    elif words[0] in TRAINER_VERBS:
        code, _, err = restore(*words, "--print_config")
        assert code == 0, err
    else:
        import_module(f"restore_lightning.commands.{words[0]}").parser().parse_args(words[1:])
