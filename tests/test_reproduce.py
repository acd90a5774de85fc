"""docs/reproduce.md: every command is one that the real command line takes, and every table has its commands."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from restore_lightning.commands import TRAINER_VERBS
from restore_lightning.paper_tables.printed import known_set, tables
from tests.published.test_load import PAPERS

PAGE = Path(__file__).parents[1] / "docs/reproduce.md"


def configured():
    """The pieces of configs on the page."""
    return re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """The words of each call of `restore`, as a shell makes them of the page, in a folder where they were "run".

    A stand-in for the command notes its words, and prints its number where the page keeps what is printed.
    """
    folder = tmp_path_factory.mktemp("reproduce")
    stand_in = folder / "bin/restore"
    stand_in.parent.mkdir()
    note = "import json, sys; json.dump(sys.argv[1:], open(sys.argv[0], 'a')); print(file=open(sys.argv[0], 'a'))"
    note = note.replace("sys.argv[0]", repr(str(folder / "calls")))
    note += f"; print(len(open({str(folder / 'calls')!r}).readlines()) - 1)"
    stand_in.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(note)} "$@"\n')
    stand_in.chmod(0o755)
    script = "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    environment = os.environ | {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-eu", "-c", script], cwd=folder, env=environment, check=True, timeout=300, stdout=subprocess.DEVNULL
    )
    return folder, [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def value_of(words, flag):
    return words[words.index(flag) + 1] if flag in words else None


@pytest.mark.slow
def test_every_command_is_accepted(calls, restore, monkeypatch):
    folder, made = calls
    monkeypatch.chdir(folder)
    printed = {int(path.read_text()): path for path in folder.glob("*.yaml")}
    assert len(printed) == 2
    for number, (verb, *words) in enumerate(made):
        if verb not in TRAINER_VERBS:
            parser = import_module(f"restore_lightning.commands.{verb}").parser()
            if verb != "search":
                parser.parse_args(words)
                continue
            options, handed_on = parser.parse_known_args(words)
            verb, words = "fit", ["--config", options.config, *handed_on]
        if "--print_config" not in words:
            words = [*words, "--print_config"]
        code, out, err = restore(verb, *words)
        assert code == 0, (verb, words, err)
        config = yaml.safe_load(out)
        # What `fit` leaves in the folder of its run is what later commands name; so is what the page keeps.
        if number in printed:
            printed[number].write_text(out)
        elif made[number][0] == "fit":
            path = Path(config["trainer"]["default_root_dir"], "config.yaml")
            assert not path.exists(), f"{path} is written twice"
            path.parent.mkdir(parents=True)
            path.write_text(out)


def test_every_set_is_one_of_a_table(calls):
    given = [name for piece in configured() for name in yaml.safe_load(piece)["data"]["test_sets"]]
    assert all(map(known_set, given))
    found = set(map(known_set, given))
    for _, *words in calls[1]:
        for flag in ("--data.test_sets", "--data.val_sets"):
            for name in yaml.safe_load(value_of(words, flag) or "{}"):
                assert known_set(name), name
                found.add(known_set(name))
    wanted = {test_set for name, published in tables().items() if name != "mbn-4" for test_set in published.sets}
    assert found == wanted


def test_shards_that_are_named_are_packed(calls):
    packed = {
        words[-1] if words[-1].startswith("shards/") else words[3] for verb, *words in calls[1] if verb == "shards"
    }
    named = {name for _, *words in calls[1] for word in words for name in re.findall(r"shards/[\w-]+", word)}
    named |= {name for piece in configured() for name in re.findall(r"shards/[\w-]+", piece)}
    assert named == packed


def test_every_table_has_its_line(calls):
    text = PAGE.read_text()
    printed = [words[0] for verb, *words in calls[1] if verb == "table" and words]
    for name in tables():
        assert len(re.findall(rf"^(`[\w-]+` and )?`{name}`", text, re.MULTILINE)) == 1, name
        assert name in printed
    nowhere_to_fill = {"durn-5", "drn-2", "mbn-7", "mbn-8"}
    results = {words[0] for verb, *words in calls[1] if verb == "table" and "--results" in words}
    assert results == set(tables()) - nowhere_to_fill


def test_every_released_network_is_converted(calls):
    assert {words[0] for verb, *words in calls[1] if verb == "convert"} == set(PAPERS)
