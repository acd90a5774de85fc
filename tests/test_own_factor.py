"""docs/own_factor.md, word for word: its files are written, its commands run, in the short forms that it names."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

PAGE = (Path(__file__).parents[1] / "docs/own_factor.md").read_text(encoding="utf-8")
SHORTER = ["--trainer.logger", "false", "--trainer.accelerator", "cpu", "--data.val_crop_size", "64"]
"""What the test adds to each training, for its speed; none of it is what the page is about."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def commands():
    """The words of each command."""
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The reader's folder, with the page's files and a photo."""
    for name, text in zip(("my_degradations.py", "look.py"), blocks("python"), strict=True):
        assert f"`{name}`" in PAGE
        (tmp_path / name).write_text(text)
    (config,) = blocks("yaml")
    (tmp_path / "dusk.yaml").write_text(config)
    Image.fromarray(data.chelsea()[100:228, 100:260]).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_degradations", None)


@pytest.mark.slow
def test_every_command_does_what_it_is_there_for(place, restore):
    shorts = [short.split() for short in re.findall(r"In a hurry: `(.*?)`", PAGE)]
    assert len(shorts) == 2
    ran = []
    for program, *words in commands():
        if program == "python":
            subprocess.run([sys.executable, *words], check=True, timeout=120)
            continue
        assert program == "restore"
        if words[0] == "fit":
            words += [*shorts["quickstart.yaml" in words], *SHORTER]
        code, out, err = restore(*words)
        assert code == 0, (words, err)
        ran.append(words[0])
        if words[0] == "test":
            degraded, restored = map(float, re.search(r"([\d.]+) / [\d.]+ +([\d.]+) / ", out).groups())
            assert restored > degraded + 3
            assert (place / "runs/dusk/report/index.html").is_file()
    assert ran == ["fit", "test", "apply", "fit", "fit", "apply"]
    photo = Image.open("photo.jpg")
    assert Image.open("restored/photo.png").size == Image.open("restored_five/photo.png").size == photo.size
    dark = [Image.open(f"dusk_{seed}.png") for seed in range(3)]
    assert len({image.tobytes() for image in dark}) == 3
    assert all(image.convert("L").resize((1, 1)).getpixel((0, 0)) < 90 for image in dark)
    assert "gains:\n          - 0.1" in (place / "runs/night/config.yaml").read_text()


def test_messages_of_the_table(place, restore, tmp_path_factory, monkeypatch):
    messages = re.findall(r"^\| `(.*?)` \|", PAGE, re.MULTILINE)
    assert len(messages) == 2
    hierarchy = ["--data.factors.dusk.degradation", "my_degradations.Dusk", "--trainer.max_steps", "1", *SHORTER]
    _, _, err = restore("fit", "--config", "quickstart.yaml", *hierarchy)
    assert messages[1] in err
    sys.modules.pop("my_degradations", None)
    config = place / "dusk.yaml"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    code, _, err = restore("fit", "--config", config)
    assert code == 2
    assert messages[0] in err
