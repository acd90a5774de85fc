"""The tutorials: each of their commands, in the order of the page, and the figures.

A comment `<!-- test: WORDS -->` before a block names what is added to its commands here, so that they take seconds.
"""

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from PIL import Image
from skimage import data

from restore_lightning.shipped_configs import find_config
from restore_lightning.shipped_weights import shipped_networks
from scripts.figures import curves, cycle, photographs, restored

ROOT = Path(__file__).parents[1]
PAGES = ("first_photos", "own_network", "passes")
BLOCK = re.compile(r"(?:^<!-- test: ([^\n]*) -->\n)?^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
SIZE = 128
FEW_LAYERS = ("--model.network.width", "2", "--model.network.stem", "[[3,3,1]]", "--data.num_workers", "0")
"""Added to each training of the long page, which is about none of them."""


def text_of(page):
    return (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")


def commands_of(page):
    """The words of each command, those that are added for the test among them."""
    for added, block in BLOCK.findall(text_of(page)):
        for line in block.replace("\\\n", " ").splitlines():
            words = [*shlex.split(line, comments=True), *shlex.split(added)]
            yield [*words, *FEW_LAYERS] if page == "own_network" and {"fit", "--config"} < set(words) else words


@pytest.fixture
def shipped():
    """The networks that the pages name are there."""
    assert {photographs.TOLD, photographs.UNKNOWN} <= shipped_networks().keys()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with what the pages name: a photo and its clean version, a folder of photos, clean ones, and pairs."""
    photo = Image.fromarray(data.chelsea()[60 : 60 + SIZE, 100 : 100 + SIZE])
    cup = Image.fromarray(data.coffee()[80 : 80 + SIZE, 200 : 200 + SIZE])
    for folder in ("holiday", "clean", "photos", "pairs/degraded", "pairs/clean"):
        (tmp_path / folder).mkdir(parents=True)
    photo.save(tmp_path / "photo.jpg", quality=20)
    photo.save(tmp_path / "clean/photo.png")
    cup.save(tmp_path / "holiday/cup.jpg", quality=30)
    cup.save(tmp_path / "pairs/degraded/cup.jpg", quality=30)
    cup.save(tmp_path / "pairs/clean/cup.png")
    for name, image in (("cat", data.chelsea()), ("cup", data.coffee())):
        Image.fromarray(image[:200, :300]).save(tmp_path / f"photos/{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


def run(words, restore):
    """Run a command of a page; what stands in front of `restore` sets the package up, and is looked at only."""
    program, *rest = words
    if program == "restore":
        code, out, err = restore(*rest)
        assert code == 0, (words, err)
        return out
    if program == "make":
        dry = ["make", "--dry-run", "--directory", str(ROOT), *rest]
        return subprocess.run(dry, check=True, capture_output=True, text=True, timeout=60).stdout
    assert words == ["source", f"{made_by_make()}/bin/activate"]
    return ""


def made_by_make():
    """The environment's folder, as the Makefile names it."""
    return re.search(r"^VENV := (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page(page, shipped, desk, restore):
    for words in commands_of(page):
        out = run(words, restore)
        if words[:2] == ["restore", "weights"]:
            assert photographs.TOLD in out
            assert photographs.UNKNOWN in out
        if "--output" in words:
            folder = desk / words[words.index("--output") + 1]
            assert any(path.is_file() for path in folder.rglob("*")), words


@pytest.mark.slow
def test_the_python_of_passes(shipped, desk):
    (block,) = re.findall(r"^```python\n(.*?)^```", text_of("passes"), re.DOTALL | re.MULTILINE)
    exec(compile(block, "passes.md", "exec"), {})
    names = sorted(path.name for path in desk.glob("pass_*.png"))
    assert names == ["pass_1_jpeg.png", "pass_2_haze.png", "pass_3_blur.png", "pass_4_rain.png"]


def test_pages_name_shipped_configs_only():
    for page in PAGES:
        for words in commands_of(page):
            for name in (value for flag, value in pairwise(words) if flag == "--config"):
                assert name.startswith("runs/") or find_config(name).is_file()


def test_figures_are_small_and_each_names_its_photographers():
    shown = {name: re.findall(r"\]\(figures/(\S+)\)", text_of(name)) for name in PAGES}
    assert set(shown["first_photos"] + shown["passes"]) == {"factors.webp", "passes.webp"}
    assert set(shown["own_network"]) == {"cycle.svg", "curves.svg", "minutes.webp"}
    for name, most in (("factors", 120_000), ("passes", 120_000), ("minutes", 120_000), ("restored", 100_000)):
        path = photographs.FIGURES / f"{name}.webp"
        assert path.stat().st_size <= most
        assert Image.open(path).width <= 1200
    for page in ("first_photos", "passes", "own_network"):
        for credit in ("SpaceX, CC0", "Walt, CC0", "Michetti, CC0", "NASA, public domain"):
            assert credit in " ".join(text_of(page).split())


def test_the_drawing_of_the_cycles_is_that_of_the_schedule():
    config = cycle.config()
    assert cycle.FIGURE.read_text(encoding="utf-8") == cycle.draw(config), "make figures draws it anew"
    assert config == yaml.safe_load((ROOT / "configs/small.yaml").read_text(encoding="utf-8"))
    drawn = re.findall(r'<text class="in"[^>]*>(\w+)<', cycle.draw(config, cycles=3))
    assert len(drawn) == 3 * 6
    for start in (0, 6, 12):
        assert sorted(drawn[start : start + 6]) == ["blur", "blur", "haze", "jpeg", "jpeg", "rain"]


def test_curves_of_a_run(tmp_path, monkeypatch, capsys):
    figure = tmp_path / "curves.svg"
    monkeypatch.setattr(curves, "FIGURE", figure)
    curves.main(tmp_path / "none.csv")
    assert "stays as it is" in capsys.readouterr().out
    assert not figure.exists()
    metrics = tmp_path / "metrics.csv"
    rows = "step,train/rain/loss,val/psnr,val/rain/psnr\n1,-0.5,,\n2,-0.6,,\n2,,25.0,25.0\n3,-0.7,,\n4,,26.0,26.0\n"
    metrics.write_text(rows)
    curves.main(metrics)
    drawn = figure.read_text()
    assert drawn.count("<g ") == 2
    for word in ("Training loss", "Validation PSNR", "rain", "mean of the factors"):
        assert word in drawn


def test_a_sheet_that_is_too_large_is_refused(tmp_path):
    example = photographs.EXAMPLES[2]
    pair = photographs.degraded(example)
    shown = restored.Versions(pair.degraded, {"a": pair.degraded, "b": pair.degraded}, pair.clean)
    made = photographs.sheet([restored.row(example, shown)])
    assert made.width <= 1200
    with pytest.raises(RuntimeError, match="more than 1,000"):
        photographs.write_webp(made, tmp_path / "a.webp", 1000)
    assert not list(tmp_path.iterdir())
    photographs.write_webp(made, tmp_path / "a.webp", 120_000)
    assert Image.open(tmp_path / "a.webp").size == made.size
