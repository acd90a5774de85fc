"""A file that is not there: the line names one beside it that is called nearly so."""

import pytest

from restore_lightning.io.files import did_you_mean


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
    assert did_you_mean(run.parents[1] / "rans/mbn/last.ckpt") == f"; did you mean {run.parent}?"
    for path in (run / "entirely_different", run / ("x" * 300), run / "last.ckpt/below"):
        assert did_you_mean(path) == ""
