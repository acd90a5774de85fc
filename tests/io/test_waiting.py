"""Folders that go away while they are read: waited for, but not for ever, and not for a file that is missing."""

import errno
import os
import threading

import pytest

from restore_lightning.errors import UserError
from restore_lightning.io.images import read_image
from restore_lightning.io.waiting import read_patiently


@pytest.fixture
def path(photographs, tmp_path):
    """A photograph, two folders below one that goes away."""
    folder = tmp_path / "set/train"
    folder.mkdir(parents=True)
    for file in photographs.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / "cat.png"


def read(path, waits):
    return read_patiently(lambda: read_image(path), path, waits)


@pytest.mark.parametrize("away", ["renamed", "empty"])
def test_a_folder_that_comes_back(away, path, tmp_path, caplog):
    """As one of a network file system: gone, or what it was mounted on."""
    (tmp_path / "set").rename(tmp_path / "away")
    if away == "empty":
        path.parent.mkdir(parents=True)

    def bring_back():
        if away == "empty":
            path.parent.rmdir()
            path.parent.parent.rmdir()
        (tmp_path / "away").rename(tmp_path / "set")

    back = threading.Timer(0.2, bring_back)
    back.start()
    assert read(path, [0.05] * 100).shape[0] == 3
    back.join()
    assert f"{path} cannot be read (No such file or directory): trying again in 0.05 seconds" in caplog.text


def test_a_folder_that_stays_away(path, tmp_path):
    (tmp_path / "set").rename(tmp_path / "away")
    told = f"{path.parent} was away for 0.03 seconds, cat.png in it cannot be read \\(No such file or directory\\)"
    with pytest.raises(UserError, match=told) as error:
        read(path, [0.01, 0.02])
    assert error.value.exit_code == 1


def test_neither_a_missing_nor_a_damaged_file_is_waited_for(path, caplog):
    for change in (lambda: path.write_bytes(b"no image"), path.unlink):
        change()
        with pytest.raises(UserError, match=r"cat\.png cannot be read as an image"):
            read(path, [1000.0])
    assert not caplog.text


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_a_server_that_does_not_answer(number, path):
    failures = [OSError(number, os.strerror(number))] * 2

    def read():
        if failures:
            raise failures.pop()
        return "read"

    assert read_patiently(read, path, [0.0] * 2) == "read"
    failures.append(OSError(errno.EACCES, "Permission denied"))
    with pytest.raises(PermissionError):
        read_patiently(read, path, [1000.0])


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_read_in_a_folder_that_is_there(number, path):
    def read():
        raise OSError(number, os.strerror(number))

    told = f"{path} cannot be read \\({os.strerror(number)}\\) 3 times, though its folder is there: check its disk"
    with pytest.raises(UserError, match=told) as error:
        read_patiently(read, path, [0.0] * 2)
    assert error.value.exit_code == 1
    path.parent.rename(path.parent.with_name("away"))
    with pytest.raises(UserError, match=f"{path.parent} was away"):
        read_patiently(read, path, [0.0] * 2)
