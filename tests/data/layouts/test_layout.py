"""Layouts: each is tried, and those of one's own are checked."""

import pytest

from restore_lightning.data.layouts.layout import layout, layouts
from restore_lightning.errors import UserError
from tests.data.layouts.trees import TREES, grow, packed


def test_every_layout_is_tried():
    halves_or_arrays = {"did-mdn", "did-mdn-test", "dcpdn"}
    assert layouts().keys() == TREES.keys() | halves_or_arrays


def test_a_layout_of_ones_own(restore, tmp_path):
    """DDN's samples: 1rain.jpg beside 1ground_truth.jpg."""
    grow(tmp_path / "root", [("train", "1ground_truth.jpg", ["1rain.jpg"])])
    mine = tmp_path / "mine.yaml"
    mine.write_text("mine:\n  about: rain\n  parts: [{split: train, degraded: '{n}rain', clean: '{n}ground_truth'}]\n")
    shards = packed(restore, mine, tmp_path / "root", tmp_path / "out", "--split", "test")
    assert [shards.name(row) for row in shards.rows("test", "degraded").tolist()] == ["1"]
    for text, message in (
        ("mine: {about: x, parts: [{degraded: '(', clean: 'b', split: train}]}", "unterminated"),
        ("mine: {about: x, parts: [{degraded: 'a', clean: 'b'}]}", "give split, or a field of this name"),
        ("mine: {about: x, parts: [{degraded: 'a', split: train}]}", "give clean, or halves, or arrays"),
        ("mine: {about: x, parts: [{degraded: '{a}', clean: '{b}', split: train}]}", "the clean pattern's b"),
        ("mine: {about: x, parts: [], part: []}", "unexpected keyword argument 'part'"),
        ("a: {about: x, parts: []}\nb: {about: x, parts: []}", "holds 2 layouts"),
        ("[", "cannot be read as a layout"),
    ):
        mine.write_text(text)
        with pytest.raises(UserError, match=message):
            layout(str(mine))


@pytest.mark.parametrize(
    "key",
    ["halves: Left", "border: -5", "border: ten", "arrays: [haze]", "versions: many", "test_split: a/b", "ignore: '('"],
)
def test_wrong_keys_of_a_layout(key, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"mine:\n  about: x\n  parts: [{{split: train, degraded: 'd/{{i}}', clean: 'c/{{i}}'}}]\n  {key}\n")
    with pytest.raises(UserError, match="cannot be read as a layout"):
        layout(str(mine))


def test_a_key_that_stands_twice(restore, photographs, tmp_path):
    """YAML takes the last one without a word."""
    path = tmp_path / "mine.yaml"
    path.write_text("mine:\n  about: ours\n  border: 1\n  parts: [{split: test, clean: '{image}'}]\n  border: 2\n")
    code, _, err = restore("shards", "pack", path, photographs, tmp_path / "set")
    assert code == 2
    assert f"{path}: 'border' stands twice in one mapping, in lines 3 and 5: remove one" in err
