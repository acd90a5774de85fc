"""A file that is not there: the line names one beside it that is called nearly so."""

import pytest

from restore_lightning.io.files import near_path
from tests.conftest import CONF

SINGLE = CONF / "single.yaml"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "runs/mbn").mkdir(parents=True)
    for name in ("last.ckpt", "Photo.JPG", "rain.onnx", "config.yaml"):
        (tmp_path / "runs/mbn" / name).touch()
    return tmp_path / "runs/mbn"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("demo", "last.cpkt"), "last.ckpt"),
        (("export", "lst.ckpt", "it.pt2"), "last.ckpt"),
        (("apply", "last.ckt", "Photo.JPG", "--output", "out"), "last.ckpt"),
        (("apply", "rainy.onnx", "Photo.JPG", "--output", "out"), "rain.onnx"),
        (("apply", "last.ckpt", "photo.jpeg", "--output", "out"), "Photo.JPG"),
        (("score", "photo.jpg2", "Photo.JPG", "--protocol", "durn-y"), "Photo.JPG"),
        (("fit", "--config", "confg.yaml"), "config.yaml"),
        (("fit", "--config", "quikstart.yaml"), "quickstart.yaml"),
    ],
)
def test_verbs_name_it(words, near, run, restore, monkeypatch):
    monkeypatch.chdir(run)
    code, _, err = restore(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith(f"; did you mean {near}?\n")


def test_a_folder_on_the_way_and_nothing_near(run):
    assert near_path(run.parents[1] / "rans/mbn/last.ckpt") == f"; did you mean {run.parent}?"
    for path in (run / "entirely_different", run / ("x" * 300), run / "last.ckpt/below", run / "last.ckpt"):
        assert near_path(path) == ""


FOLDERS = [
    ("fit", "--config", SINGLE, "--data.root"),
    ("fit", "--config", SINGLE, "--data.factors.rain.shards"),
    ("fit", "--config", SINGLE, "--data.factors.rain.image_list", "x.txt", "--data.factors.rain.clean"),
    ("test", "--config", SINGLE, "--ckpt_path", "r-mbn-small", "--data.root"),
    ("shards", "pack", "clean", "PLACE", "out"),
    ("shards", "info"),
    ("shards", "leaks", "--test", "photos", "--"),
    ("table", "drn-1", "--results"),
    ("mix", "out", "--root"),
]


@pytest.mark.parametrize("words", FOLDERS, ids=lambda words: " ".join(map(str, words[:2])))
def test_a_folder_that_is_not_there(words, restore, tmp_path, monkeypatch):
    """One beside it is named; a file in its place is not said to be near."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "album").touch()
    words = words if "PLACE" in words else (*words, "PLACE")
    for given, near in (("photso", "; did you mean photos?"), ("nowhere", ""), ("album", "")):
        code, _, err = restore(*(given if word == "PLACE" else word for word in words))
        line = err.splitlines()[-1]
        assert code == 2
        assert near in line
        assert line.count("did you mean") == bool(near), line


def test_a_link_to_what_is_not_there(restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to("/unmounted/disk")
    for words in (
        ("fit", "--config", SINGLE, "--data.root", "photos"),
        ("score", "photos", "a", "--protocol", "durn-y"),
    ):
        code, _, err = restore(*words)
        assert code == 2
        assert err.splitlines()[-1].endswith("; it is a link to /unmounted/disk, which is not there")


def test_only_what_would_do_is_near(restore, tmp_path, monkeypatch):
    """A folder where one is meant, a file where that is meant; a checkpoint's file comes before the word for it."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos.zip", "last.ckpt"):
        (tmp_path / name).touch()
    (tmp_path / "mine").mkdir()
    for words, near in (
        (("--data.root", "photos.zi"), ""),
        (("--config", "mined"), ""),
        (("--ckpt_path", "last.cpkt"), "; did you mean last.ckpt?"),
    ):
        code, _, err = restore("fit", "--config", SINGLE, *words)
        line = err.splitlines()[-1]
        assert code == 2
        assert line.endswith(near), line
        assert line.count("did you mean") == bool(near), line


def test_the_near_one_comes_last(restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", "--model.init_from", "mbn_small")
    assert code == 2
    assert err.endswith("; run step 1 first, or name the checkpoint of another run; did you mean mbn-small?\n")


@pytest.mark.parametrize(
    ("verb", "given", "near"),
    [
        ("fit", "latest", "last"),
        ("fit", "lats", "last"),
        ("test", "latest", "last"),
        ("predict", "bst", "best"),
        ("validate", "mbn-smal", "mbn-small"),
        ("fit", "tets", "tests"),
    ],
)
def test_words_for_a_runs_checkpoints_come_before_folders(verb, given, near, restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("tests", "test"):
        (tmp_path / name).mkdir()
    code, _, err = restore(verb, "--config", SINGLE, "--ckpt_path", given)
    assert code == 2
    line = err.splitlines()[-1]
    assert line.startswith(f"restore {verb}: --ckpt_path {given}: no such file or folder")
    assert line.endswith(f"; did you mean {near}?")
