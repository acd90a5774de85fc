"""Pages about training and using networks, in short form: their commands, one after the other.

docs/photographs.md, scores.md, large_images.md, data.md, multi_branch.md, single_factor.md, training.md, sweeps.md.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from PIL import Image
from skimage import data
from wandb.cli.cli import cli as wandb

from tests.data.layouts.trees import TREES
from tests.export.conftest import DRN, checkpoint
from tests.test_pages import MBN, ROOT, blocks, commands, place, run_restore

__all__ = ["place"]
FEW_LAYERS = ("--model.network.stem", "[[3,3,1]]", "--model.network.iterations", 1)
"""Of a multi-branch network; pages say nothing of them."""
HEREDOC = re.compile(r"^cat > (\S+) <<'EOF'\n(.*?)^EOF\n", re.DOTALL | re.MULTILINE)


def photograph(path, shape=(128, 160)):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = shape
    Image.fromarray(data.coffee()[80 : 80 + height, 200 : 200 + width]).save(path)


def commands_of(block):
    """The words of each command; the files that the block writes are there then."""
    for name, text in HEREDOC.findall(block):
        Path(name).write_text(text, encoding="utf-8")
    return commands(HEREDOC.sub("", block))


@pytest.fixture
def folder(place):
    """Photographs of the sides of training crops in the folder that pages call FOLDER."""
    for name in ("a", "b"):
        photograph(place / f"FOLDER/{name}.png")
    return place


@pytest.fixture
def run_mbn(folder, restore):
    """The run that pages go on with."""
    run_restore(["restore", "fit", "--config", "mbn.yaml", "--data.root", "FOLDER"], restore)
    return folder / "runs/mbn"


@pytest.mark.slow
def test_photographs(place, restore):
    checkpoint(place / "drn.ckpt", *DRN)
    photograph(place / "scan.tif", (48, 64))
    (script,) = blocks("photographs")
    (words,) = commands_of(script)
    run_restore([word.replace("CHECKPOINT", "drn.ckpt") for word in words], restore)
    written = sorted(path.name for path in Path("restored").rglob("*.*"))
    assert written == ["a_restored.png", "b_restored.png", "scan_restored.tif"]


@pytest.mark.slow
def test_scores(run_mbn, restore):
    """All of the page, and what it has in Python."""
    for name in ("RESTORED/1.png", "CLEAN/1.png"):
        photograph(Path(name))
    for words in commands_of("".join(blocks("scores"))):
        run_restore(words, restore)
    assert json.loads(Path("restored.json").read_text())["identical"] == 1
    assert all((run_mbn / name).is_file() for name in ("report/index.html", "scores.json", "scores.csv"))
    clean = torch.rand(2, 3, 32, 32)
    named = {"restored": clean * 0.9, "clean": clean, "numbers": torch.arange(2)}
    for code in blocks("scores", "python"):
        exec(code, named)
    assert named["psnr"].shape == (2,)
    assert named["scores"].sets["rain"].by_protocol().keys() == {"aio-rgb", "moce-rgb"}


@pytest.mark.slow
def test_large_images(run_mbn, restore):
    checkpoint(Path("r_mbn.ckpt"), "MBN", MBN, ["jpeg", "haze", "blur", "rain"])
    (script,) = blocks("large_images")
    apply, test = commands_of(script)
    run_restore([word.replace("CHECKPOINT", "r_mbn.ckpt") for word in apply], restore)
    run_restore(test, restore)
    assert len(list(Path("restored").iterdir())) == 2
    used = json.loads((run_mbn / "scores.json").read_text())["inference"]
    assert (used["tile"], used["local_statistics"]) == (512, 64)


@pytest.mark.slow
def test_data(folder, restore):
    """But for what `mix` made, which test_pages.py looks at."""
    for _, clean, degraded in TREES["gopro"]:
        for name in (clean, *degraded):
            photograph(folder / "GOPRO" / name)
    for name in ("photos/one.png", "scans/one_1.png", "scans/one_2.png"):
        photograph(folder / "ROOT" / name)
    for split in ("train", "test"):
        for kind in ("degraded", "clean"):
            photograph(folder / "pairs" / split / kind / "1.png")
    for name in ("did-mdn", "its", "rain12", "sots"):
        run_restore(["restore", "shards", "pack", "pairs", "pairs", f"shards/{name}"], restore, "--workers", 0)
    for name in ("noisy", "clean"):
        photograph(folder / "folder" / name / "1.png")
    photograph(folder / "photos/DIV2K/1.png")
    packing, own, _, training = blocks("data")
    for words in (*commands_of(packing), *commands_of(own)):
        workers = ("--workers", 0) if words[2] in ("pack", "verify") else ()
        run_restore(words, restore, *workers)
    assert len(list(folder.glob("shards/*/*.tar"))) >= 6
    Path("sources.yaml").write_text(blocks("data", "yaml")[0], encoding="utf-8")
    (words,) = commands_of(training)
    run_restore(words, restore)
    assert Path("runs/mbn/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
def test_multi_branch(folder, restore):
    """But for the searches, each of which is many runs: tests/commands/test_search.py does one."""
    for name in ("a", "b"):
        photograph(folder / f"IMAGES/clear/{name}.png")
        np.save(folder / f"IMAGES/{name}.npy", np.full((128, 160), 5.0, dtype=np.float32))
    (folder / "IMAGES/depth").mkdir()
    for path in folder.glob("IMAGES/*.npy"):
        path.rename(folder / "IMAGES/depth" / path.name)
    searches = 0
    for words in commands_of("".join(blocks("multi_branch"))):
        if words[1] == "search":
            searches += 1
            continue
        if words[1] == "mix" and Path("mixed").exists():  # the page's second way to make the same folder
            shutil.rmtree("mixed")
        added = FEW_LAYERS if words[1] == "fit" else ()
        if "--trainer.accumulate_grad_batches" in words:
            added = (*added, "--trainer.val_check_interval", 10)
        run_restore(words, restore, *added)
    assert searches == 3
    for name in ("mbn", "other", "r_mbn", "r_mbn_mixed"):
        assert Path("runs", name, "checkpoints/last.ckpt").is_file()
    assert len(json.loads(Path("runs/table_4/scores.json").read_text())["sets"]) == 16


@pytest.mark.slow
def test_single_factor(folder, restore, monkeypatch):
    """A network of one's own before the maps that are made of it, and a run of durn_haze.yaml."""
    for name in ("RAINY", "CLEAN", "RAINY_VAL", "CLEAN_VAL", "RAINY_TEST", "CLEAN_TEST"):
        photograph(folder / name / "1.png")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", ".")
    configs, maps, own = blocks("single_factor")
    run_restore(["restore", "fit", "--config", "durn_haze.yaml", "--data.root", "FOLDER"], restore)
    overwrite = False
    for words in (*commands_of(configs), *commands_of(own), *commands_of(maps)):
        words = [word for word in words if word != "PYTHONPATH=."]
        again = words[1] == "fit" and "drn_rain100l.yaml" in words
        run_restore(words, restore, *(["--overwrite"] if again and overwrite else []))
        overwrite |= again
    assert Path("plain/photo.png").is_file()
    assert "Rain100L" in Path("runs/drn_rain100l/scores.json").read_text()
    for run in ("durn_haze", "plain"):
        assert list(Path("runs", run, "pictures").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_training(place):
    """Two processes on one machine, and two machines, which are this one; as a shell runs them."""
    short = "--trainer.accelerator cpu --trainer.max_steps 2 --trainer.val_check_interval 2"
    short += " --trainer.limit_val_batches 1 --data.val_crop_size 64 --data.num_workers 0"
    short += f" --model.network.width 2 {shlex.join(map(str, FEW_LAYERS))}"
    script = f'restore() {{ {shlex.quote(sys.executable)} -m restore_lightning "$@" {short}; }}\n'
    script += "".join(blocks("training")).replace("29512", str(find_free_network_port())) + "wait $!\n"
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    for run in ("two", "nodes"):
        assert Path("runs", run, "checkpoints/last.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_sweeps(folder, restore):
    """With a run of a sweep; W&B's own parser takes its command lines, and its server is not asked."""
    (folder / "configs").symlink_to(ROOT / "configs")
    run = "runs/sweeps/loss_weights/ID"
    first = ["restore", "fit", "--config", "mbn.yaml", "--data.root", "FOLDER", "--trainer.default_root_dir", run]
    run_restore(first, restore, *FEW_LAYERS)
    for line in "".join(blocks("sweeps")).splitlines():
        for program, *given in commands(line.removeprefix("WANDB_AGENT_MAX_INITIAL_FAILURES=100 ")):
            if program == "restore":
                run_restore([program, *given[: given.index(">") if ">" in given else None]], restore)
            elif program == "wandb":
                wandb.commands[given[0]].make_context(given[0], given[1:])
            elif program == "slurm/submit":
                assert (ROOT / given[1]).is_file()
            else:
                subprocess.run(["bash", "-euc", line], check=True, timeout=60)
    sweep = yaml.safe_load(Path("mine.yaml").read_text(encoding="utf-8"))
    assert {"quickstart.yaml", "--trainer.max_steps=750"} <= {str(word) for word in sweep["command"]}
