"""The package as it is installed: a wheel in an environment that has nothing of this checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image

from tests.export.conftest import checkpoint

ROOT = Path(__file__).parents[1]
OFFLINE = """
import socket

def refuse(*_):
    raise OSError("no network here")

socket.socket.connect = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of an environment with the wheel; what the wheel needs is that of the running one."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env/bin/python"
    install = ("--python", python, "install", "--no-deps", "--no-index", wheel)
    subprocess.run((sys.executable, "-m", "pip", *install), check=True, capture_output=True)
    packages = package_of(folder / "env").parent
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))  # .pth files in there are not read
    (packages / "sitecustomize.py").write_text(OFFLINE)
    return folder / "env"


def package_of(environment: Path) -> Path:
    (found,) = environment.glob("lib/python*/site-packages/restore_lightning")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", ["by name", "folder"])
def test_a_photo_is_restored_without_a_config_data_or_a_network_connection(restore, tmp_path, installed, photos, how):
    source = checkpoint(tmp_path / "drn.ckpt", "DRN", {"T": 1, "R": 1, "width": 4})
    folder = package_of(installed) / "shipped_weights/our_drn" if how == "by name" else tmp_path / "our_drn"
    assert restore("bundle", source, folder)[0] == 0
    source.unlink()
    Image.open(photos / "a.png").crop((0, 0, 50, 41)).save(tmp_path / "photo.jpg")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RESTORE"))}
    words = ("our_drn", "photo.jpg", "--output", "out")
    done = subprocess.run(
        (installed / "bin/restore", "apply", *words),
        cwd=tmp_path,
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "out/photo.png").size == (50, 41)
