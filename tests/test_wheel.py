"""The wheel holds all that a run needs, configs included."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_runs_a_shipped_config(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    # A new environment with this package from the wheel, and its dependencies from ours.
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, timeout=120)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    command = [
        tmp_path / "env/bin/restore", "fit", "--config", "quickstart.yaml", "--trainer.max_steps", "2",
        "--trainer.limit_val_batches", "0", "--trainer.logger", "false",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"config: {site / 'restore_lightning/configs/quickstart.yaml'}" in done.stderr
    assert (tmp_path / "runs/quickstart/checkpoints/last.ckpt").is_file()
    assert (site / "restore_lightning/reports/templates/report.html").is_file()
