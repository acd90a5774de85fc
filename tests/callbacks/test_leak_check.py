"""`fit` warns where a test set that the config names is trained on."""

import json

import pytest

from restore_lightning.callbacks import leak_check
from tests.conftest import CONF


@pytest.fixture
def said(photographs, tmp_path, restore):
    """What a run with a test set says of leaks."""

    def fit(*words, clean=photographs, **given):
        sets = {"mine": {"clean": str(clean), **given}}
        run = ("--config", CONF / "single.yaml", "--trainer.default_root_dir", tmp_path / "run")
        more = ("--data.root", photographs, "--data.test_sets", json.dumps(sets), *words)
        code, out, err = restore("fit", *run, *more)
        assert code == 0, err
        return [line for line in (out + err).splitlines() if "restore shards leaks" in line]

    return fit


def test_equal_images_are_named_once(said, photographs):
    (line,) = said("--trainer.max_steps", 2)
    cat, cup = (photographs / name for name in ("cat.png", "cup.png"))
    assert line.endswith(f"2 test images are training images: {cat} = {cat}, {cup} = {cup}; see restore shards leaks")
    assert said("--ckpt_path", "last") == []


def test_others_are_not(said, photos):
    assert said("--trainer.max_steps", 2, clean=photos) == []


def test_only_listed_images_are_compared(said, photographs, tmp_path):
    """Two lists divide a folder."""
    for name in ("cat", "cup"):
        (tmp_path / f"{name}.txt").write_text(f"{name}.png\n")
    factors = {"rain": {"clean": str(photographs), "image_list": str(tmp_path / "cat.txt")}}
    more = ("--data.factors", json.dumps(factors), "--trainer.max_steps", 2)
    (line,) = said(*more, image_list=str(tmp_path / "cat.txt"))
    assert "1 test image is a training image" in line
    assert said(*more, "--trainer.default_root_dir", tmp_path / "other", image_list=str(tmp_path / "cup.txt")) == []


def test_what_the_time_does_not_allow_is_said(said, monkeypatch):
    monkeypatch.setattr(leak_check, "SECONDS", -1.0)
    (line,) = said("--trainer.max_steps", 2)
    assert line.endswith(
        "0 of 2 training images were compared with the test sets in -1 s; restore shards leaks takes all"
    )
