"""`restore shards`: what it prints, and wrong calls."""

import pytest

from tests.data.shards.conftest import line_of


def test_info_says_what_is_there(packed, restore):
    code, printed, _ = restore("shards", "info", packed)
    assert code == 0
    assert "layout: pairs" in printed
    assert "8 samples, 16 images" in printed
    assert "train: 6 clean, 6 degraded; clean images 300x200" in printed
    assert "test: 2 clean, 2 degraded; clean images 300x200" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pack", "gopros", "ROOT", "OUT"), "layout 'gopros': give one of pairs, clean, gopro"),
        (("pack", "gopro", "nowhere", "OUT"), "nowhere is no folder"),
        (("pack", "gopro", "ROOT", "OUT"), "is where gopro has them (degraded train/{sequence}/blur/{image};"),
        (("pack", "pairs", "ROOT", "OUT", "--size", "640"), "--size 640: give WIDTHxHEIGHT"),
        (("pack", "pairs", "ROOT", "OUT", "--size", "64x36", "--store", "files"), "--size and --store files"),
        (("pack", "pairs", "ROOT", "OUT", "--allow-missing", "-1"), "--allow-missing -1: give at least 0"),
        (("pack", "pairs", "ROOT", "OUT", "--split", "a/b"), "--split a/b: give a word"),
        (("pack", "pairs", "ROOT", "ROOT"), "exists already and is no data set of ours"),
        (("pack", "pairs", "ROOT", "ROOT", "--overwrite"), "is no data set of ours: choose"),
        (("info", "ROOT"), "has no index.npz"),
        (("verify", "nowhere"), "nowhere is no folder"),
    ],
)
def test_wrong_calls(words, message, root, restore, tmp_path):
    places = {"ROOT": root, "OUT": tmp_path / "out"}
    code, _, err = restore("shards", *(places.get(word, word) for word in words))
    assert code == 2
    assert message in line_of(err)
    assert list(tmp_path.iterdir()) == []
