"""Files that appear whole or not at all, under any name; paths that users give."""

import os
from pathlib import Path

import pytest

from restore_lightning.errors import UserError
from restore_lightning.io.files import user_path, write_text, written_beside


@pytest.mark.parametrize(
    "name",
    [
        "x" * 251 + ".png",
        "x" * 255,
        "\u00e9" * 125 + ".tiff",  # two bytes each
        pytest.param(
            os.fsdecode(b"\xe9" * 251) + ".png", marks=pytest.mark.skipif(os.name == "nt", reason="names are Unicode")
        ),
    ],
)
def test_names_as_long_as_they_may_be(name, tmp_path):
    """Two that differ in their last letter only are written at once."""
    other = name[: -len(Path(name).suffix) - 1 or None][:-1] + "y" + Path(name).suffix
    with written_beside(tmp_path / name) as first, written_beside(tmp_path / other) as second:
        assert first != second
        assert first.name.endswith(Path(name).suffix)
        first.write_text("1")
        second.write_text("2")
        assert all(len(os.fsencode(path.name)) <= 255 and path.name.startswith(".") for path in (first, second))
    assert (tmp_path / name).read_text() == "1"
    assert (tmp_path / other).read_text() == "2"
    assert len(list(tmp_path.iterdir())) == 2


def test_text_with_names_that_are_not_utf8(tmp_path):
    write_text(tmp_path / "a.csv", f"{os.fsdecode(bytes([99, 0xE9]))},\u00e9")
    assert (tmp_path / "a.csv").read_bytes() == b"c\\udce9,\xc3\xa9"


def test_paths_of_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_path("~/a b/c.png") == tmp_path / "a b/c.png"
    assert user_path("a/~/b") == Path("a/~/b")
    with pytest.raises(UserError, match="~nobody-of-that-name/x: there is no such home folder"):
        user_path("~nobody-of-that-name/x")
