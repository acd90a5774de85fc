"""What is in a folder of photographs, and what is left out."""

import os
import unicodedata

import pytest
from PIL import Image

from restore_lightning.errors import UserError
from restore_lightning.io.image_files import SUFFIXES
from restore_lightning.io.image_folders import find_images, left_out, match, several_pictures


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


def test_images_of_every_suffix_and_the_others(tmp_path):
    images = ["a.PNG", "b.jfif", "c.gif", "d.avif", "e.jp2", "f.pgm", "sub/deep/g.TIFF", "sub/h.webp", "z.jpe"]
    touch(tmp_path, *images, "notes.txt", "sub/film.mov", "raw.dng", "no_suffix")
    files = find_images(tmp_path)
    assert names(files.images, tmp_path) == images
    assert names(files.others, tmp_path) == ["no_suffix", "notes.txt", "raw.dng", "sub/film.mov"]
    said = left_out(files.others)
    assert said.startswith(f"4 files are no images that can be read: {tmp_path / 'no_suffix'}, ")
    assert said.endswith(" and 1 more")
    assert left_out(files.others[:1]).startswith("1 file is no image")


def test_heic_is_read_or_said(tmp_path):
    """It needs a library of its own."""
    touch(tmp_path, "IMG_1.HEIC")
    files = find_images(tmp_path)
    if ".heic" in SUFFIXES:
        assert names(files.images, tmp_path) == ["IMG_1.HEIC"]
    else:
        assert left_out(files.others).endswith("IMG_1.HEIC; .heic needs pip install 'restore-lightning[heif]'")


def test_what_systems_leave_is_no_loss(tmp_path):
    hidden = (".DS_Store", "._a.png", ".git/b.png", "Thumbs.db", "desktop.ini", "__MACOSX/c.png", "@eaDir/d.jpg")
    touch(tmp_path, "a.png", *hidden)
    files = find_images(tmp_path)
    assert (names(files.images, tmp_path), files.others) == (["a.png"], [])


def test_linked_folders_are_followed_once(tmp_path):
    root = tmp_path / "root"
    touch(root, "real/a.png", "real/below/b.png")
    touch(tmp_path, "elsewhere/c.png")
    (root / "1_first_by_name").symlink_to(root / "real")  # the same photographs
    (root / "again").symlink_to(root)  # a circle
    (root / "real/below/up").symlink_to("..")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "out_again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(root)
    (root / "d.png").symlink_to(tmp_path / "elsewhere/c.png")  # a file of its own name
    assert names(find_images(root).images, root) == ["d.png", "out/c.png", "real/a.png", "real/below/b.png"]
    (tmp_path / "link").symlink_to(root)
    assert len(find_images(tmp_path / "link").images) == 4


def test_links_that_lead_nowhere_are_not_lost(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "b").symlink_to(tmp_path / "gone")
    files = find_images(tmp_path)
    assert (names(files.images, tmp_path), names(files.others, tmp_path)) == (["a.png"], ["b"])


def test_a_folder_within_that_is_not_looked_into(tmp_path):
    touch(tmp_path, "a.png", "out/a.png", "out/notes.txt", "out2/b.png")
    (tmp_path / "z").symlink_to(tmp_path / "out")
    for without in (tmp_path / "out", tmp_path / "z", tmp_path / "out2/../out"):
        files = find_images(tmp_path, without=without)
        assert (names(files.images, tmp_path), files.others) == (["a.png", "out2/b.png"], [])
    assert len(find_images(tmp_path, without=tmp_path / "new").images) == 3


def test_folders_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    if os.geteuid() == 0:  # root reads all, other errors stay errors
        (tmp_path / "a").touch()
        with pytest.raises(UserError, match=r"a cannot be read: Not a directory"):
            find_images(tmp_path / "a")
        return
    (tmp_path / "locked").mkdir(mode=0)
    assert find_images(tmp_path).others == [tmp_path / "locked"]
    with pytest.raises(UserError, match=r"locked cannot be read: Permission denied"):
        find_images(tmp_path / "locked")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    touch(tmp_path, f"a/{name}", f"b/{name}", "b/caf\u00e9.png")
    matched = match(tmp_path / "a", tmp_path / "b")
    assert list(matched.pairs) == [name.removesuffix(".png")]
    assert [path.name for path in matched.alone[tmp_path / "b"]] == ["caf\u00e9.png"]


def test_names_composed_in_two_ways_are_partners(tmp_path):
    composed, apart = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    touch(tmp_path, f"linux/{composed}.png", f"mac/{apart}.jpg", "linux/b.png", "mac/b.png")
    for first, second in (("linux", "mac"), ("mac", "linux")):
        matched = match(tmp_path / first, tmp_path / second)
        assert len(matched.pairs) == 2
        assert matched.problems() == []


def test_twins_stay_apart(tmp_path):
    """Where a folder holds both, names are compared as they are."""
    composed, apart = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    touch(tmp_path, *(f"{folder}/{name}.png" for folder in "ab" for name in (composed, apart)))
    matched = match(tmp_path / "a", tmp_path / "b")
    assert all(one.name == other.name for one, other in matched.pairs.values())
    assert len(matched.pairs) == 2
    touch(tmp_path, f"c/{apart}.png")
    matched = match(tmp_path / "a", tmp_path / "c")
    assert list(matched.pairs) == [apart]
    assert [path.stem for path in matched.alone[tmp_path / "a"]] == [composed]


def test_folders_without_images_say_what_they_hold(tmp_path):
    touch(tmp_path, "a/x.mov", "b/y.png")
    with pytest.raises(UserError, match=r"a holds no images \(1 file is no image that can be read: .*x\.mov\): give a"):
        match(tmp_path / "a", tmp_path / "b")
    touch(tmp_path, "b/notes.txt", "a/y.png")
    assert names(match(tmp_path / "a", tmp_path / "b").others, tmp_path) == ["a/x.mov", "b/notes.txt"]


def test_several_pictures():
    assert several_pictures({"a.tif": 3}) == "1 file holds several pictures, the first is taken: a.tif (3)"


def test_pictures_in_training_data_are_said(tmp_path, caplog):
    from restore_lightning.data.sources.crops import sizes_of

    image = Image.new("RGB", (30, 20))
    image.save(tmp_path / "a.tif", save_all=True, append_images=[image])
    image.save(tmp_path / "b.gif", save_all=True, append_images=[Image.new("RGB", (30, 20), "red")])
    with caplog.at_level("INFO", logger="restore_lightning"):
        assert sizes_of(sorted(tmp_path.iterdir()), "files") == [(20, 30), (20, 30)]
    assert f"2 files hold several pictures, the first is taken: {tmp_path / 'a.tif'} (2), " in caplog.text


def test_odd_entries_do_not_cost_the_others(tmp_path):
    """A link to itself is missed where it is read."""
    touch(tmp_path, "a.png", "b.txt")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    found = find_images(tmp_path)
    assert names(found.images, tmp_path) == ["a.png", "loop.jpg"]
    assert names(found.others, tmp_path) == ["b.txt"]
