"""docs/weights.md: its commands, one after the other, do what they are there for."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.published.test_load import random_weights
from tests.weights.hub_server import TOKEN

PAGE = Path(__file__).parents[2] / "docs/weights.md"


def commands_of_page():
    """The words of each command."""
    script = "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    lines = script.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.mark.slow
def test_every_command_works(commands, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(random_weights("DRN", gain=0.05), "DRN_Rain100L.pth")
    for folder in ("rainy", "clean"):
        (tmp_path / "Rain12" / folder).mkdir(parents=True)
        for path in photographs.iterdir():
            Image.open(path).crop((0, 0, 32, 40)).save(tmp_path / "Rain12" / folder / path.name)
    lines = commands_of_page()
    assert {line[1] for line in lines} >= {"convert", "apply", "score", "test", "bundle", "push", "weights"}
    done = commands(*(line[1:] for line in lines), HF_TOKEN=TOKEN)
    for line, (code, _, err) in zip(lines, done, strict=True):
        assert line[0] == "restore"
        assert code == 0, (line, err)
    listed = done[-1][1]
    assert "hub:owner/drn@" in listed
    assert re.search(r"Rain12 [\d.]+ dB / [\d.]+ \(\S+, 2 images\)", listed)
