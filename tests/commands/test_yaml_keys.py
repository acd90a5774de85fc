"""Keys of configs: names as they are written, each once in its mapping."""

import json

import pytest
import yaml

from restore_lightning.commands.yaml_keys import load_config
from restore_lightning.errors import UserError
from tests.conftest import CONF


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25: a", {"25": "a"}),
        ("{050: 1, 0x1F: 2, 1e3: 3, 2.50: 4}", {"050": 1, "0x1F": 2, "1e3": 3, "2.50": 4}),
        ("yes: {no: [{on: 1}]}", {"yes": {"no": [{"on": 1}]}}),
        ("~: 1\nnull: 2", {"~": 1, "null": 2}),
        ("a: &x {1: b}\nc: {<<: *x, 2: d}", {"a": {"1": "b"}, "c": {"1": "b", "2": "d"}}),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}", {"a": {"b": 1}, "c": {"b": 2}}),  # what is merged may be replaced
        ("a: 1e-4", {"a": 1e-4}),  # the parser's own reading of values
        ("3", 3),
        ("", None),
    ],
)
def test_keys_are_text(text, expected):
    assert load_config(text) == expected


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("a: 1\nb: 2\na: 3", "a", "1 and 3"),
        ("data:\n  factors:\n    rain: {minibatches: 1,\n      minibatches: 2}", "minibatches", "3 and 4"),
        ("- x\n- {25: 1,\n   '25': 2}", "25", "2 and 3"),
    ],
)
def test_a_key_that_stands_twice(text, key, lines):
    with pytest.raises(UserError, match=f"my.yaml: '{key}' stands twice in one mapping, in lines {lines}"):
        load_config(text, "my.yaml")


def test_a_config_with_a_key_twice_is_refused(restore, tmp_path):
    (tmp_path / "mine.yaml").write_text("trainer:\n  max_steps: 3\n  log_every_n_steps: 1\n  max_steps: 4\n")
    run = ("--trainer.default_root_dir", tmp_path / "run")
    code, _, err = restore("fit", "--config", CONF / "single.yaml", "--config", tmp_path / "mine.yaml", *run)
    assert code == 2
    assert "mine.yaml: 'max_steps' stands twice in one mapping, in lines 2 and 4: remove one" in err
    assert not (tmp_path / "run").exists()


def test_sets_and_baselines_with_odd_names(photos, step_1, restore, tmp_path):
    """Trained, validated, tested, and trained on from the config that the run wrote."""
    (tmp_path / "odd.yaml").write_text(f"""
model: {{init_args: {{baselines: {{0: {{checkpoint: {step_1}}}}}}}}}
data:
  val_sets: {{25: {{clean: {photos}}}, off: {{clean: {photos}}}}}
  test_sets: {{050: {{clean: {photos}}}, yes: {{clean: {photos}}}}}
""")
    words = ("--config", CONF / "single.yaml", "--config", tmp_path / "odd.yaml")
    code, _, err = restore("fit", *words, "--trainer.default_root_dir", tmp_path / "run")
    assert code == 0, err
    code, _, err = restore("test", "--config", tmp_path / "run/config.yaml")
    assert code == 0, err
    sets = json.loads((tmp_path / "run/scores.json").read_text())["sets"]
    assert set(sets) == {"050", "yes"}
    assert "0" in sets["yes"]
    with (tmp_path / "run/config.yaml").open() as file:
        assert set(yaml.safe_load(file)["data"]["val_sets"]) == {"25", "off"}
