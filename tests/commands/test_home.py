"""A "~" in front of a path is the user's home, also where shells leave it: after "=", and in files."""

import pytest
from PIL import Image
from skimage import data

from tests.conftest import CONF


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's home, and a working directory beside it, in which nothing called "~" may appear."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "home"
    assert list((tmp_path / "here").iterdir()) == []


def save(path, name="a.png"):
    path.mkdir(exist_ok=True)
    Image.fromarray(data.coffee()[:40, :50]).save(path / name)


def test_apply_and_score(home, step_1, restore):
    save(home)
    (home / "c.ckpt").write_bytes(step_1.read_bytes())
    code, _, err = restore("apply", "~/c.ckpt", "~/a.png", "--factor=rain", "--output=~/restored")
    assert code == 0, err
    assert (home / "restored/a.png").is_file()
    words = ("~/a.png", "~/restored/a.png", "--protocol=durn-rgb", "--json=~/s.json", "--csv=~/s.csv")
    assert restore("score", *words)[0] == 0
    assert (home / "s.json").is_file()
    assert (home / "s.csv").is_file()


def test_the_trainer(home, step_1, restore, instantiated):
    (home / "c.ckpt").write_bytes(step_1.read_bytes())
    save(home / "photos")
    root = ("--data.root=~/photos", "--data.crop_size=32", "--trainer.default_root_dir=~/run")
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", *root, "--ckpt_path=~/c.ckpt")
    assert code == 0, err
    (cli,) = instantiated
    assert cli.trainer.default_root_dir == str(home / "run")
    assert cli.config.fit.ckpt_path == str(home / "c.ckpt")
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", "--ckpt_path=~/nothing.ckpt")
    assert code == 2
    assert str(home / "nothing.ckpt") in err


def test_the_other_verbs(home, restore):
    save(home / "photos")
    assert restore("shards", "pack", "clean", "~/photos", "~/packed", "--workers=0")[0] == 0
    assert restore("shards", "info", "~/packed")[0] == 0
    assert restore("shards", "verify", "~/packed", "--workers=0")[0] == 0
    assert restore("mix", "~/mixed", "--scenes=3", "--size=64", "--test=1")[0] == 0
    assert restore("table", "drn-1", "--output=~/table.md")[0] == 0
    assert {path.name for path in home.iterdir()} >= {"packed", "mixed", "table.md"}
