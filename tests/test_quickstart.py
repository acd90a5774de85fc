"""README.md and docs/quickstart.md: their commands in short form, and the table that the second one shows."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from torch import nn

from restore_lightning import networks
from restore_lightning.metrics.protocols import PROTOCOLS
from tests.test_pages import ROOT, blocks, commands, place, run_restore
from tests.test_tutorials import run

__all__ = ["place"]


def quickstart():
    """The words of what `make quickstart` does with `restore`."""
    dry = ["make", "--dry-run", "--directory", str(ROOT), "quickstart"]
    lines = subprocess.run(dry, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    return [shlex.split(line)[1:] for line in lines if re.match(r"\S+/restore ", line)]


def column_of_names(table):
    return [re.split(r"  +", line)[0] for line in table.splitlines() if re.match(r"\S", line)]


@pytest.mark.slow
def test_readme(place, restore):
    """A photo is restored, a network is trained, the run goes on."""
    (script,) = blocks("../README")
    for words in commands(script):
        if words[0] == "restore":
            run_restore(words, restore)
        else:
            run(words, restore)
    assert Path("restored/photo.png").is_file()
    assert Path("runs/quickstart/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
def test_quickstart(place, restore):
    """What make does, in short; then the page's commands, and the files and rows that it names."""
    printed = [run_restore(["restore", *words], restore) for words in quickstart()]
    page = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^```\n( +rain .*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(printed) == 4
    names = column_of_names(table)
    assert [name for name in column_of_names(printed[-1]) if name in names] == names
    assert "protocol                        durn-y          durn-y          durn-y         mbn-rgb" in printed[-1]
    files = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    for name in re.findall(r"`([^`]+)`", " ".join(files)):
        folder = "checkpoints" if name == "last.ckpt" else ""
        assert Path("runs/quickstart", folder, name).exists(), name
    first, *others = blocks("quickstart")
    assert first == "make quickstart\n"
    for words in commands("".join(others)):
        if words[0] == "restore":
            run_restore(words, restore)
        else:
            run(words, restore)
    assert sorted(path.name for path in Path("restored").rglob("*.png")) == ["cup.png", "photo.png"]
    assert Path("dehazed/photo.png").is_file()
    assert Path("runs/mine_r/checkpoints/best.ckpt").is_file()


def test_readme_counts():
    """Networks and protocols, as its table has them; and it is one screen."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    kinds = [each for each in vars(networks).values() if isinstance(each, type) and issubclass(each, nn.Module)]
    assert f"| networks | {len(kinds)} |" in text
    assert f"[{len(PROTOCOLS)} protocols of papers]" in text
    assert len(text.splitlines()) <= 80


def test_large_images_repeats_the_quickstarts_scores():
    page = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
    scores = re.findall(r"[\d.]+ / [\d.]+", re.search(r"^MBN \(factor told\).*$", page, re.MULTILINE)[0])
    rain, blur, jpeg, haze, _ = scores
    repeated = f"| `restore test --config runs/quickstart/config.yaml` | {haze} | {rain} | {blur} | {jpeg} |"
    assert repeated in (ROOT / "docs/large_images.md").read_text(encoding="utf-8")
