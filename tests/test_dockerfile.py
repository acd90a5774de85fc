"""The Dockerfile without an engine: linted, replayed in clean environments, run by a user without rights."""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.replaying import Replay, Stage, context

ROOT = Path(__file__).parents[1]
SOMEONE = 54321
"""A user without a name, as under `docker run --user`."""


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(versions: dict[str, str]) -> dict[str, str]:
    """What constraints.txt says of each; its versions are these."""
    public = {normal(name): version.partition("+")[0] for name, version in versions.items()}
    expected = {name: pins().get(name) for name in public}
    assert public == expected
    return expected


def installed(stage: Stage) -> dict[str, str]:
    """In a stage's environment, but for what Python's venv puts there."""
    (site,) = stage.root.glob("opt/restore/lib/python*/site-packages")
    found = {item.name: item.version for item in distributions(path=[str(site)])}
    return {name: version for name, version in found.items() if name not in ("pip", "setuptools")}


@pytest.fixture
def replay():
    """In a folder that every user may read, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Replay(ROOT, Path(folder))


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_base_is_an_exact_tag_with_the_cuda_of_torchs_wheels(replay):
    tag = re.fullmatch(r"nvidia/cuda:(\d+\.\d+\.\d+)-base-ubuntu24\.04", replay.arguments["CUDA_IMAGE"])
    assert tag, replay.arguments
    assert tag[1] == pins()["cuda-toolkit"]


def test_the_context_holds_what_is_copied_and_no_more(tmp_path):
    wanted = [
        *("LICENSE", "README.md", "constraints.txt", "pyproject.toml"),
        *("configs/mbn.yaml", "configs/sweeps/order.yaml", "restore_lightning/cli.py", "restore_lightning/data/a.yaml"),
    ]
    left_out = [
        *(".git/config", ".venv/bin/python", ".netrc", ".env", "runs/mbn/checkpoints/last.ckpt", "wandb/run/x.wandb"),
        *("dist/a.whl", "shards/a.tar", "tests/test_a.py", ".pytest_cache/a", ".mypy_cache/a", ".ruff_cache/a"),
        *("restore_lightning/__pycache__/cli.pyc", "restore_lightning/data/__pycache__/a.pyc", "photo.jpg"),
    ]
    for name in (*wanted, *left_out):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / ".dockerignore").write_bytes((ROOT / ".dockerignore").read_bytes())
    assert context(tmp_path) == sorted(wanted)


@pytest.mark.slow
def test_a_user_without_rights_trains_and_tests_in_the_image(replay):
    image = replay.stage()
    assert [command.split()[1] for command in replay.skipped] == ["update", "update"]  # of both stages
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.settings["USER"][0])

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    resolved = pinned(replay.resolved)
    for requirement in (*extras["hdf5"], *extras["s3"]):
        assert normal(re.match(r"[\w-]+", requirement)[0]) in resolved
    build_tools = pinned(installed(replay.stage("wheel")))
    assert "hatchling" in build_tools
    (version,) = installed(image).values()

    for path in (image.root / "opt").rglob("*"):
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert mode & 0o004, path  # anyone may read it
            path.chmod(mode & ~0o222)
    image.workdir.chmod(0o777)  # a mounted folder

    def restore(*words: str) -> str:
        done = image.start(*words, user=SOMEONE)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "usage: restore VERB" in restore()
    assert restore("--version").strip() == version
    few = ("--trainer.max_steps", "2", "--trainer.limit_val_batches", "0", "--trainer.limit_test_batches", "1")
    said = restore("fit", "--config", "quickstart.yaml", "--model.network.width", "2", *few)
    assert re.search(rf"config: {image.root}/opt/restore/lib/.*/restore_lightning/configs/quickstart.yaml", said)
    restore("test", "--config", "runs/quickstart/config.yaml")
    run = image.workdir / "runs/quickstart"
    assert (run / "checkpoints/last.ckpt").is_file()
    assert list(run.glob("wandb/offline-run-*/*.wandb"))
    assert json.loads((run / "scores.json").read_text())["sets"]
    assert (run / "report/index.html").is_file()
