"""Commands of docs/export.md, demo.md, leaks.md, data.md, all_in_one.md and weights.md, run where their files exist.

And what weights.md, own_network.md and single_factor.md have in Python.
"""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image
from skimage import data

from restore_lightning.cli import main
from restore_lightning.networks import network_info
from tests.export.conftest import DRN, checkpoint
from tests.published.test_load import random_weights
from tests.test_community import spandrel

__all__ = ["spandrel"]
ROOT = Path(__file__).parents[1]
MBN = {"width": 2, "stem": [[3, 3, 1]], "extra": [], "iterations": 1, "scales": 1}
MBN |= {"hierarchy": [["rain", "haze", "blur", "jpeg"]]}
SHORT = {
    "fit": """--trainer.accelerator cpu --trainer.val_check_interval 2 --trainer.limit_val_batches 1
        --data.val_crop_size 64 --data.samples_per_step null --data.batch_size 1 --data.crop_size 64
        --data.num_workers 0""",
    "test": "--trainer.accelerator cpu --trainer.limit_test_batches 1 --data.num_workers 0",
    "mix": "--scenes 8 --val 2",
}
"""What is added to a page's commands, so that they take seconds."""
NETWORKS = {
    "mbn": "--model.network.width 2",
    "drn": "--model.network.T 1 --model.network.R 1 --model.network.width 4",
    "durn": "--model.network.width 4",
    "din": """--model.network.D 1 --model.network.B 1 --model.network.M 2 --model.network.growth 4
        --model.network.width 4""",
}
"""The same for the network, which the config's name has."""


def blocks(page, language="bash"):
    """The texts of a page's blocks."""
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(script):
    """The words of each command."""
    lines = script.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def run_restore(words, restore, *added):
    """Do a command, short where it trains or scores; what it printed."""
    program, verb, *given = words
    short = SHORT.get(verb, "").split() if verb != "mix" or "--scenes" in given else []
    if verb == "fit":
        config = given[given.index("--config") + 1]
        network = re.search(rf"\b(?:r_)?({'|'.join(NETWORKS)})", config)
        short += NETWORKS[network[1]].split() if network else []
        short += ["--trainer.max_steps", 3 if "--ckpt_path" in given else 2]
    code, out, err = restore(verb, *given, *short, *added)
    assert (program, code) == ("restore", 0), (words, err)
    return out


def installed_as_said(words):
    """What this package needs of the extra that `pip install` is given."""
    assert words[:2] == ["install", words[1]]
    extra = re.fullmatch(r"restore-lightning\[(\w+)\]", words[1])[1]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return [Requirement(one) for one in wanted[extra]]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with photographs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "holiday").mkdir()
    Image.fromarray(data.chelsea()[100:164, 100:180]).save("photo.jpg")
    Image.fromarray(data.coffee()[80:144, 200:280]).save("holiday/cup.jpg")
    for name in ("a", "b"):
        Image.fromarray(data.coffee()[100:164, 100:196]).save(f"photos/{name}.png")
    return tmp_path


@pytest.mark.slow
def test_export(place, restore):
    """All of the page, and what it has in Python."""
    pytest.importorskip("onnxruntime")
    checkpoint(place / "drn.ckpt", *DRN)
    checkpoint(place / "mbn.ckpt", "MBN", MBN)
    checkpoint(place / "r_mbn.ckpt", "MBN", MBN, ["jpeg", "haze", "blur", "rain"])
    (place / "examples").symlink_to(ROOT / "examples")
    (script,) = blocks("export")
    for program, *words in commands(script):
        if program == "pip":
            assert all(one.specifier.contains(version(one.name)) for one in installed_as_said(words))
        elif program == "python":
            subprocess.run([sys.executable, *words], check=True, timeout=120)
        else:
            code, _, err = restore(*words)
            assert (program, code) == ("restore", 0), (words, err)
    assert {path.suffix for path in place.iterdir()} >= {".onnx", ".pt2"}
    assert sorted(path.name for path in (place / "restored").iterdir()) == ["a.png", "b.png"]
    assert Image.open("restored.png").size == (80, 64)
    (code,) = blocks("export", "python")
    named = {}
    exec(code, named)
    assert named["restored"].shape == named["image"].shape


@pytest.mark.slow
def test_demo(place, restore):
    """The page's command, on a free port, is asked once; the answer is what apply writes."""
    ((program, *words),) = commands(*blocks("demo"))
    assert (program, words[0]) == ("restore", "demo")
    command = [sys.executable, "-m", "restore_lightning", *words, "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = re.search(r"http://(127\.0\.0\.1:\d+)/", process.stdout.readline())[1]
            connection = HTTPConnection(address, timeout=60)
            connection.request("GET", "/")
            assert b"<html" in connection.getresponse().read()
            connection.request("POST", "/restore?name=photo.jpg", (place / "photo.jpg").read_bytes())
            answer = json.load(connection.getresponse())
            connection.request("GET", f"/results/{answer['restored']}")
            given = connection.getresponse().read()
            connection.close()
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "restore: interrupted\n")
    assert restore("apply", words[1], "photo.jpg", "--output", "out", "--device", "cpu")[0] == 0
    assert given == (place / "out/photo.png").read_bytes()


@pytest.mark.slow
def test_leaks(place, restore):
    """Folders as the page names them: one image of the second search is a part of a training image."""
    names = ("astronaut", "coffee", "chelsea", "rocket")
    pictures = {name: Image.fromarray(getattr(data, name)()[40:300, 20:320]) for name in names}
    part = pictures["astronaut"].crop((0, 0, 200, 160))
    held = {
        "WED/1.png": pictures["astronaut"],
        "BSD400/1.png": pictures["coffee"],
        "CBSD68/1.png": pictures["chelsea"],
        "TESTS/one/1.png": pictures["chelsea"],
        "BSDS500/1.png": pictures["coffee"],
        "BSDS500/2.png": pictures["rocket"],
        "wed/train/clean/1.png": pictures["astronaut"],
        "rain100l/test/clean/1.png": part,
    }
    for name, image in held.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        image.save(name)
    for name in ("wed", "rain100l"):
        assert restore("shards", "pack", "clean", name, f"shards/{name}", "--workers", 0)[0] == 0
    first, found, benchmark = commands("".join(blocks("leaks")))
    code, out, err = restore(*first[1:], "--workers", 0)
    assert (code, out) == (0, "0 of 1 test images are in the 2 training images\n"), err
    code, out, err = restore(*found[1:], "--workers", 0)
    assert code == 1, err
    assert "shards/rain100l: test/clean/1 = shards/wed: train/clean/1 (crop)" in out.splitlines(), out
    assert len(json.loads(Path("leaks.json").read_text())["pairs"]) == 1
    assert Path("leaks/index.html").is_file()
    assert benchmark[0] == "python"
    done = subprocess.run(
        [sys.executable, ROOT / benchmark[1], *benchmark[2:]], capture_output=True, text=True, timeout=300, check=True
    )
    assert json.loads(done.stdout)["copies"]["same pixels"] == "1 of 1"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("tar") is None, reason="needs bash and tar")
def test_looking_at_what_mix_made(place):
    """docs/data.md: the script as it stands, the programs being those of this environment."""
    (script,) = [block for block in blocks("data") if "look" in block]
    programs = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}\n'
    programs += f'restore() {{ {shlex.quote(sys.executable)} -m restore_lightning "$@"; }}\n'
    done = subprocess.run(["bash", "-euc", programs + script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "haze of 2 of 2 images is over a stand-in" in done.stdout
    images = {path.name: np.asarray(Image.open(path)) for path in Path("look").rglob("*.png")}
    assert len(images) == 12
    assert {image.shape for image in images.values()} == {(64, 96, 3)}


@pytest.mark.slow
def test_one_network_for_several_factors(place, restore):
    """docs/all_in_one.md's first commands, with what the page says to append."""
    page = (ROOT / "docs/all_in_one.md").read_text(encoding="utf-8")
    short = shlex.split(re.search(r"append\n`([^`]*)` to it", page)[1])
    short[short.index("--trainer.max_steps") + 1] = "1"
    smaller = ["--data.num_workers", "0", "--trainer.limit_val_batches", "0", "--trainer.limit_test_batches", "1"]
    (several,) = [block for block in blocks("all_in_one") if "two_factors" in block]  # test_all_in_one.py: the others
    for _, *words in commands(several):
        code, _, err = restore(*words, *(short + smaller if words[0] == "fit" else ()))
        assert code == 0, (words, err)
    assert Path("restored/photo.png").is_file()


@pytest.mark.slow
def test_community(spandrel, place, restore):
    """docs/weights.md, with files of spandrel's own SCUNet and of DRN; the environment is looked at, not made."""
    from spandrel.architectures.SCUNet import SCUNet

    torch.manual_seed(0)
    torch.save(SCUNet(config=[1] * 7, dim=64).state_dict(), "scunet.pth")
    torch.save(random_weights("DRN", gain=0.05), "drn.pth")
    assert restore("convert", "DRN", "drn.pth", "drn.ckpt")[0] == 0
    for folder in ("rainy", "clean"):
        (place / "Rain12" / folder).mkdir(parents=True)
        Image.open("photos/a.png").crop((0, 0, 48, 40)).save(place / "Rain12" / folder / "1.png")
    ran = []
    for program, *words in commands("".join(blocks("weights", "console"))):
        if program == "restore":
            code, _, err = restore(*words)
            assert code == 0, (words, err)
            ran.append(words[0])
        elif program.endswith("pip"):
            (wanted,) = installed_as_said(words)
            assert wanted.specifier.contains(spandrel.__version__)
        elif "-c" in words:
            exec(words[-1], {})
    assert ran == ["apply", "test", "bundle"]
    assert "SCUNet" in Path("runs/community/scores.json").read_text()
    assert main(["apply", "scunet", "photo.jpg", "--output", "again"]) == 0
    assert Path("again/photo.png").read_bytes() == Path("restored/photo.png").read_bytes()


@pytest.mark.slow
def test_weights_in_python(place):
    """With files of random weights under the authors' names."""
    torch.save(random_weights("MBN"), "authors.pth")
    torch.save(random_weights("DRN", gain=0.05), "DRN_Rain100L.pth")
    best = place / "runs/r_mbn/checkpoints/best.ckpt"
    best.parent.mkdir(parents=True)
    checkpoint(best, "MBN", MBN, ["jpeg", "haze", "blur", "rain"])
    (code,) = blocks("weights", "python")
    named = {"image": torch.rand(1, 3, 64, 80)}
    with torch.inference_mode():
        exec(code, named)
    assert len(named["stages"]) == 7
    assert len(named["passes"]) == 4
    assert named["clean"].shape == named["image"].shape


def test_the_mean_of_two_checkpoints(place):
    """docs/own_network.md: 0.4 of the first run's weights, 0.6 of the second's."""
    weights = []
    for number, run in enumerate(("mine_jpeg", "mine_l1")):
        path = place / f"runs/{run}/checkpoints/last.ckpt"
        path.parent.mkdir(parents=True)
        saved = torch.load(checkpoint(path, "MBN", MBN), weights_only=True)
        saved["state_dict"] = {name: weight + number for name, weight in saved["state_dict"].items()}
        torch.save(saved, path)
        weights.append(saved["state_dict"])
    (code,) = blocks("own_network", "python")
    exec(code, {})
    mean = torch.load("mean.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(
        mean, {name: 0.4 * weight + 0.6 * weights[1][name] for name, weight in weights[0].items()}
    )


def test_a_class_that_says_what_it_takes():
    """docs/single_factor.md: the class's `info` is the network's."""
    (code,) = blocks("single_factor", "python")
    named = {"nn": torch.nn}
    exec(code, named)
    assert (network_info(named["Plain"]()).sizes.multiple, network_info(named["Plain"]()).sizes.minimum) == (16, 64)
