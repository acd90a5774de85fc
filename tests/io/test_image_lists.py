"""What a list of images names."""

import pytest

from restore_lightning.io.image_lists import listed_images

CLEAN = ["a/1.png", "b/1.png", "b/2.png", "photo.png", "one.png", "c/3.png", "c/3.jpg", "4.png", "c/4.png", "two a.png"]
DEGRADED = ["low/2.png", "low/two a.png"]


@pytest.fixture
def said(tmp_path):
    """What a list of a text, or of bytes, says: paths, and problems without the file."""

    def listed(text):
        file = tmp_path / "list.txt"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        found = listed_images(file, [CLEAN, DEGRADED])
        return found.paths, [problem.removeprefix(f"{file}, ") for problem in found.problems]

    return listed


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("A/1\n", {"a/1.png"}),
        ("2.png", {"b/2.png", "low/2.png"}),
        ("3.jpg", {"c/3.jpg"}),
        ("4.png", {"4.png"}),
        ("two a.png", {"two a.png", "low/two a.png"}),
        ("a/1 low/2.png", {"a/1.png", "low/2.png"}),
        ("two a | photo", {"two a.png", "low/two a.png", "photo.png"}),
        ("\ufeffphoto.png\r\none.png", {"photo.png", "one.png"}),
    ],
)
def test_names(text, paths, said):
    assert said(text) == (paths, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1.png", "line 1: 1.png may be a/1.png, b/1.png: give more of its path"),
        ("3", "line 1: 3 may be c/3.png, c/3.jpg: give more of its path"),
        ("photo one.png", "line 1: there is no image photo one.png"),
        ("photo.png 9.png", "line 1: there is no image 9.png"),
        ("|", "line 1: there is no image |"),
    ],
)
def test_what_names_none_or_several(text, problem, said):
    assert said(text)[1] == [problem]
