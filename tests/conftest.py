"""Fixtures of all tests."""

import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

CONF = Path(__file__).parent / "conf"


def pytest_configure(config):
    # xdist's processes share the cores, with those that tests start; sums over several threads differ in the last bit.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("WANDB_MODE", "offline")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start what is in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(what: str) -> None:
    """Skip a test for what this machine lacks; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"{what} not found")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden vectors and real images that the authors of this package test with."""
    folder = Path(os.environ.get("RESTORE_SHARED", Path(__file__).parents[2] / "shared")).resolve()
    if not (folder / "golden").is_dir():
        missing("golden vectors and test images (set RESTORE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of three real photographs, two of them in a subfolder."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for name, image in (("a.png", data.chelsea()), ("more/b.jpg", data.coffee()), ("more/c.png", data.astronaut())):
        Image.fromarray(image[:200, :280]).save(folder / name)
    return folder


def fitted(config: Path, run: Path, *words) -> Path:
    """The last checkpoint of a run."""
    from restore_lightning.cli import main

    assert main(["fit", "--config", str(config), "--trainer.default_root_dir", str(run), *map(str, words)]) == 0
    return run / "checkpoints/last.ckpt"


@pytest.fixture(scope="session")
def step_1(tmp_path_factory) -> Path:
    """A checkpoint of a tiny multi-branch network."""
    return fitted(CONF / "tiny.yaml", tmp_path_factory.mktemp("step_1"))


@pytest.fixture(scope="session")
def step_2(tmp_path_factory, step_1) -> Path:
    """A checkpoint of the same, fine-tuned for recurrent use in another order than the paper's."""
    words = ("--model.init_from", step_1, "--model.order", "[haze, jpeg, rain, blur]")
    return fitted(CONF / "recurrent.yaml", tmp_path_factory.mktemp("step_2"), *words)


@pytest.fixture
def restore(monkeypatch, capsys):
    """Run the command in this process: words -> (exit code, standard output, standard error)."""
    from restore_lightning.cli import main

    def run(*words) -> tuple[int, str, str]:
        for name in list(logging.Logger.manager.loggerDict):  # handlers made while another test ran
            for handler in logging.getLogger(name).handlers:
                if getattr(getattr(handler, "stream", None), "closed", False):
                    handler.stream = sys.stderr
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def instantiated(monkeypatch) -> list:
    """Within the test `fit` makes everything and trains nothing; the list gets each command's LightningCLI."""
    from restore_lightning.commands.trainer import RestoreCLI

    made: list = []
    monkeypatch.setattr(RestoreCLI, "before_fit", lambda self: made.append(self))
    monkeypatch.setattr(RestoreCLI, "after_fit", lambda self: None)
    monkeypatch.setattr(RestoreCLI, "fit", lambda self, **_: None, raising=False)  # comes before the Trainer's
    return made


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
def device(request, monkeypatch) -> str:
    """Each kind of device that this machine has; it multiplies in float32, not in TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return request.param


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A folder of two small photographs, of no network's favourite size."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photographs")
    for name, image in (("cat", data.chelsea()[100:172, 100:190]), ("cup", data.coffee()[100:172, 200:290])):
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def small_tests(photographs) -> tuple[str, str]:
    """Options that score small photographs of each of the four factors, in place of scikit-image's."""
    factors = ("rain", "blur", "jpeg", "haze")
    return "--data.test_sets", json.dumps({name: {"clean": str(photographs), "factor": name} for name in factors})


@pytest.fixture(scope="session")
def words(photographs, step_1):
    """A name of `TASKS` -> its command lines."""
    from tests.every_task import TASKS, Words

    return lambda name: Words(TASKS[name], photographs, step_1)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium of this machine; for one module, as its event loop would be in the way of others."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing("Chromium (chromium, chromium-browser or google-chrome on the path)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def colours() -> np.ndarray:
    """(H, W, 4) of 16 bits: neither side nor any channel equals another."""
    return np.random.default_rng(0).integers(0, 2**16, (9, 14, 4), dtype=np.uint16)


def pytest_collection_modifyitems(items):
    """Last what imports spandrel: its classes stay, and then "NAFNet" in a config is ours or its own."""
    items.sort(key=lambda item: "spandrel" in getattr(item, "fixturenames", ()))
