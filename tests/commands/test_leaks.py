"""`restore shards leaks`: exit codes, files, a page, and wrong calls."""

import json

import pytest

from tests.data.leaks.conftest import jpeg, pictures, smaller, train

__all__ = ["pictures", "train"]


@pytest.fixture
def test_set(pictures, tmp_path):
    """A folder with a crop, a smaller copy, another photograph, and what is no image."""
    folder = tmp_path / "test"
    folder.mkdir()
    pictures["astronaut"].crop((0, 0, 200, 160)).save(folder / "1.png")
    jpeg(smaller(pictures["chelsea"], 0.7), 80).save(folder / "2.png")
    pictures["rocket"].save(folder / "3.png")
    (folder / "notes.txt").write_text("none")
    return folder


def leaks(restore, *words):
    return restore("shards", "leaks", *words, "--workers", 0)


def test_pairs_are_printed_and_written(train, test_set, restore, tmp_path):
    words = (train, "--test", test_set, "--json", tmp_path / "leaks.json", "--report", tmp_path / "report")
    code, out, err = leaks(restore, *words)
    assert code == 1
    first, second, summary, page = out.splitlines()
    assert first == f"{test_set}/1.png = {train}/astronaut.png (crop)"
    assert second.startswith(f"{test_set}/2.png = {train}/chelsea.png (near, resized to 0.70, ")
    assert summary == ("2 of 3 test images are in the 3 training images, 2 pairs: 1 equal in part, 1 near duplicates")
    assert "1 file is no image that can be read" in err
    written = json.loads((tmp_path / "leaks.json").read_text())
    assert (written["train"], written["test"], written["not_read"]) == (3, 3, [])
    assert [pair["kind"] for pair in written["pairs"]] == ["crop", "near"]
    assert written["pairs"][0]["box"] == [0, 0, 160, 200]
    assert page == f"pictures: {tmp_path}/report/index.html"
    html = (tmp_path / "report/index.html").read_text()
    assert html.count("data:image/webp") == 4
    assert summary in html
    assert "chelsea.png" in html
    code, _, err = leaks(restore, *words)
    assert code == 2
    assert "exists already: give --overwrite or another name" in err
    assert leaks(restore, *words, "--overwrite")[0] == 1


def test_none_are_there(train, test_set, restore):
    code, out, _ = leaks(restore, train, "--test", test_set / "3.png")
    assert (code, out) == (0, "0 of 1 test images are in the 3 training images\n")


def test_patterns_and_shards(pictures, restore, tmp_path):
    """Of one set of shards the training images are compared with the others."""
    for split, name in (("train", "astronaut"), ("train", "coffee"), ("test", "coffee"), ("test", "rocket")):
        for kind in ("clean", "degraded"):
            (tmp_path / "set" / split / kind).mkdir(parents=True, exist_ok=True)
            pictures[name].save(tmp_path / "set" / split / kind / f"{name}.png")
    assert restore("shards", "pack", "pairs", tmp_path / "set", tmp_path / "packed", "--workers", 0)[0] == 0
    code, out, _ = leaks(restore, tmp_path / "pack*", "--test", tmp_path / "packed")
    assert code == 1
    line, summary = out.splitlines()
    assert line == f"{tmp_path}/packed: test/coffee = {tmp_path}/packed: train/coffee (exact)"
    assert summary.startswith("1 of 2 test images are in the 2 training images")


def test_files_that_cannot_be_read_are_named(train, test_set, restore):
    (test_set / "1.png").write_bytes((test_set / "1.png").read_bytes()[:2000])
    (test_set / "2.png").unlink()
    code, out, err = leaks(restore, train, "--test", test_set)
    assert code == 1
    assert out == "0 of 2 test images are in the 3 training images\n"
    assert f"not compared: {test_set}/1.png cannot be read as an image" in err
    assert "1 of 5 images cannot be read" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere", "--test", "empty"), "nowhere: no such file or folder: give a folder of images, or of shards"),
        (("empty", "--test", "empty"), "empty holds no images"),
        (("empty",), "required: --test"),
        (("--test", "empty"), "required: TRAIN"),
        (("empty", "--test", "empty", "--report", "file"), "file"),
        (("empty", "--test", "empty", "--workers", "-1"), "--workers -1: give at least 0"),
    ],
)
def test_wrong_calls(words, message, restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    code, out, err = restore("shards", "leaks", *words)
    assert (code, out) == (2, "")
    assert message in err
