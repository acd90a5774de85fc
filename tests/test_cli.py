"""The command from outside: tiny runs through the real CLI, and the calls that a tired person makes."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from skimage.data import astronaut

from restore_lightning.commands import TRAINER_VERBS
from tests.conftest import CONF

TINY = CONF / "tiny.yaml"
FILES = sorted(set(CONF.glob("*.yaml")) - {CONF / "recurrent.yaml"})  # see tests/tasks/test_recurrent.py


@pytest.mark.parametrize("config", FILES, ids=lambda path: path.stem)
def test_fit_validate_test_predict(config, restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ("--config", config, "--trainer.default_root_dir", "run")
    code, out, err = restore("fit", *run)
    assert code == 0, err
    for part in ("DRN: 319 parameters",) if config.stem in ("single", "mixed") else ("in-branch", "work per cycle"):
        assert part in out
    assert {"last.ckpt", "best.ckpt"} == {path.name for path in Path("run/checkpoints").iterdir()}
    again = yaml.safe_load(Path("run/config.yaml").read_text())
    assert again["trainer"]["max_steps"] == yaml.safe_load(config.read_text())["trainer"]["max_steps"]

    # The saved config is complete: it needs nothing else.
    for verb in ("validate", "test", "predict"):
        code, out, err = restore(verb, "--config", "run/config.yaml")
        assert code == 0, err
    factors = list(again["data"]["factors"])
    scores = json.loads(Path("run/scores.json").read_text())
    assert scores["checkpoint"].endswith("best.ckpt")
    assert set(scores["sets"]) == set(factors)
    for factor, entry in scores["sets"].items():
        assert entry.keys() == {"factor", "protocol", "data", "images", "degraded", "restored"}
        assert entry["data"].startswith("scikit-image's photographs, degraded on the fly by ")
        assert entry["factor"] == factor
        assert 5 < entry["degraded"]["psnr"] < 60
        assert 0 < entry["restored"]["ssim"] <= 1
    for factor in factors:
        (predicted,) = Path("run/predictions", factor).glob("*.png")
        assert Image.open(predicted).mode == "RGB"
        assert Path(f"run/pictures/val-{factor}.png").is_file()


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A finished tiny run with its CSV and offline W&B files."""
    from restore_lightning.cli import main

    run = tmp_path_factory.mktemp("tiny") / "run"
    code = main(["fit", "--config", str(TINY), "--trainer.default_root_dir", str(run), "--trainer.logger", "true"])
    assert code == 0
    return run


def test_metrics_csv(tiny_run):
    rows = list(csv.DictReader((tiny_run / "metrics.csv").open()))
    train = [row for row in rows if row["lr"]]
    assert [int(row["step"]) for row in train] == [1, 3, 5, 7]  # every second of 8 steps
    assert [float(row["cycle"]) for row in train] == [0, 0, 1, 1]
    for row in train:  # a row has the factors trained since the last one, no stale others
        assert 1 <= sum(bool(row[f"train/{f}/loss"]) for f in ("rain", "blur", "jpeg", "haze")) <= 2
    val = [row for row in rows if row["val/psnr"]]
    assert len(val) == 2
    means = [float(val[-1][f"val/{f}/psnr"]) for f in ("rain", "blur", "jpeg", "haze")]
    assert float(val[-1]["val/psnr"]) == pytest.approx(sum(means) / 4, rel=1e-5)


def test_wandb_files(tiny_run):
    """Offline without a key: scalars, the whole config, and pictures that are not black."""
    (recorded,) = tiny_run.glob("wandb/offline-run-*/run-*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(recorded.parent)]
    text = subprocess.run(inspect, capture_output=True, text=True, check=True, timeout=120).stdout
    for name in ("train/rain/loss", "val/haze/psnr", "val/psnr", "crop_size", "hierarchy", "val/jpeg/pictures"):
        assert name in text, name
    grids = sorted(recorded.parent.glob("files/media/images/val/rain/*.png"))
    assert len(grids) == 2
    pixels = torch.from_numpy(np.array(Image.open(grids[-1]).convert("RGB"))).float()
    assert pixels.shape == (64, 192, 3)  # degraded | restored | clean
    assert pixels.mean() > 20
    degraded, _, clean = pixels.split(64, dim=1)
    assert degraded.mean() > clean.mean()  # rain only brightens
    latest = np.array(Image.open(tiny_run / "pictures/val-rain.png"))
    assert any(np.array_equal(latest, np.array(Image.open(grid).convert("RGB"))) for grid in grids)


@pytest.mark.slow
def test_wandb_goes_on_with_the_run(restore, tmp_path):
    """A resumed run, and its test, add to one W&B run; offline each process writes a folder of the same id."""
    words = ("--config", TINY, "--trainer.default_root_dir", tmp_path / "run", "--trainer.logger", "true")
    assert restore("fit", *words, "--trainer.max_steps", 4)[0] == 0
    assert restore("fit", *words, "--ckpt_path", "last")[0] == 0
    assert restore("test", "--config", tmp_path / "run/config.yaml")[0] == 0
    recorded = sorted((tmp_path / "run/wandb").glob("offline-run-*/run-*.wandb"))
    assert len(recorded) == 3
    assert len({path.stem for path in recorded}) == 1
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(recorded[-1].parent)]
    text = subprocess.run(inspect, capture_output=True, text=True, check=True, timeout=120).stdout
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    (logged,) = (
        line["history"]["item"] for line in lines if "history" in line and "test/rain/psnr" in line["history"]["item"]
    )
    report = json.loads((tmp_path / "run/scores.json").read_text())
    scores = report["sets"]
    assert logged["test/rain/psnr"] == scores["rain"]["restored"]["psnr"]
    assert logged["trainer/global_step"] == torch.load(report["checkpoint"], weights_only=True)["global_step"] > 0
    (table,) = recorded[-1].parent.glob("files/media/table/test/*.table.json")
    rows = json.loads(table.read_text())["data"]
    assert [row[0] for row in rows] == [name for name in scores for _ in ("degraded", "restored")]
    assert rows[1][-2:] == [scores["rain"]["restored"][score] for score in ("psnr", "ssim")]
    shown = [np.array(Image.open(path)) for path in recorded[-1].parent.glob("files/media/images/test/rain/*.png")]
    assert len(shown) == 2
    assert all(image.dtype == np.uint8 and image.shape == (512, 3 * 512, 3) for image in shown)
    # The other one is smaller, and filled up.
    (degraded,) = (image[:, :512] for image in shown if np.array_equal(image[:, 1024:], astronaut()))
    assert 0 < (degraded.astype(int) - astronaut()).mean() < 60  # rain only brightens
    assert restore("fit", *words, "--trainer.max_steps", 2, "--overwrite")[0] == 0
    assert not (tmp_path / "run/report/index.html").exists()  # it is about the run before
    ids = {path.stem for path in (tmp_path / "run/wandb").glob("offline-run-*/run-*.wandb")}
    assert len(ids) == 2  # a new run


def test_the_checkpoint_holds_only_plain_values(tiny_run):
    checkpoint = torch.load(tiny_run / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 8
    assert checkpoint["network"]["class_path"].endswith("MBN")
    assert checkpoint["network"]["init_args"]["width"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_ends_with_the_same_weights(workers, restore, tmp_path):
    def fit(run, *more):
        words = ("--config", TINY, "--trainer.default_root_dir", run, "--data.num_workers", workers)
        code, _, err = restore("fit", *words, *more)
        assert code == 0, err
        return err

    fit(tmp_path / "whole")
    assert "STARTING ANEW" in fit(tmp_path / "parts", "--trainer.max_steps", 5, "--ckpt_path", "last")
    assert "resuming from" in fit(tmp_path / "parts", "--ckpt_path", "last")
    whole, parts = (
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("whole", "parts")
    )
    assert whole["global_step"] == parts["global_step"] == 8
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, parts["state_dict"][name]), name


def test_where_python_looks_for_modules_stays_as_it_was(restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = sys.path.copy()
    assert restore("fit", "--config", TINY, "--print_config")[0] == 0
    assert sys.path == before


@pytest.mark.slow
def test_metrics_csv_goes_on_when_resumed(restore, tmp_path):
    words = ("fit", "--config", TINY, "--trainer.default_root_dir", tmp_path / "run", "--trainer.logger", "true")
    words = (*words, "--trainer.limit_val_batches", 0)
    assert restore(*words, "--trainer.max_steps", 4)[0] == 0
    assert restore(*words, "--ckpt_path", "last")[0] == 0
    rows = list(csv.DictReader((tmp_path / "run/metrics.csv").open()))
    assert [int(row["step"]) for row in rows if row["lr"]] == [1, 3, 5, 7]


def test_an_earlier_run_is_not_overwritten(tiny_run, restore):
    words = ("fit", "--config", TINY, "--trainer.default_root_dir", tiny_run)
    before = (tiny_run / "checkpoints/last.ckpt").read_bytes()
    code, _, err = restore(*words)
    assert code == 2
    assert "holds an earlier run" in err
    assert "--overwrite" in err
    assert (tiny_run / "checkpoints/last.ckpt").read_bytes() == before


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_a_checkpoint_of_another_config(verb, tiny_run, restore):
    last = tiny_run / "checkpoints/last.ckpt"
    code, _, err = restore(verb, "--config", TINY, "--ckpt_path", last, "--model.network.width", 4)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
    assert "another network than the config's" in line
    assert len(line) < 800


@pytest.mark.slow
def test_overwrite_starts_over(restore, tmp_path):
    words = ("fit", "--config", TINY, "--trainer.default_root_dir", tmp_path, "--trainer.max_steps", 1)
    assert restore(*words)[0] == 0
    first = (tmp_path / "checkpoints/last.ckpt").stat().st_mtime_ns
    assert restore(*words, "--overwrite")[0] == 0
    assert (tmp_path / "checkpoints/last.ckpt").stat().st_mtime_ns > first


@pytest.mark.slow
def test_gradients_of_one_step_reach_only_one_branch(restore, tmp_path):
    """After one optimiser step, exactly the parameters of one factor's path have moved."""
    words = ("fit", "--config", TINY, "--trainer.limit_val_batches", 0, "--model.network.init", "torch")
    states = []
    for steps in (1, 2):
        run = tmp_path / str(steps)
        code, _, err = restore(*words, "--trainer.max_steps", steps, "--trainer.default_root_dir", run)
        assert code == 0, err
        states.append(torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
    moved = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    pairs = {name.split(".")[2] for name in moved if ".inputs." in name or ".outputs." in name}
    assert len(pairs) == 1
    assert any(".stem." in name for name in moved)


def test_plateau_lowers_the_learning_rate(restore, tmp_path):
    code, _, err = restore(
        "fit", "--config", CONF / "plateau.yaml", "--trainer.default_root_dir", tmp_path, "--trainer.max_steps", 8
    )
    assert code == 0, err
    checkpoint = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    # Looked at every second step; a threshold of 10 is never met after the first look.
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(1e-4 * 0.1**3)


def test_help_lists_every_verb_without_importing_torch(restore):
    code, out, _ = restore("--help")
    assert code == 0
    assert all(verb in out for verb in (*TRAINER_VERBS, "apply"))
    assert "quickstart.yaml" in out
    script = "import sys; from restore_lightning.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True)


@pytest.mark.parametrize("verb", TRAINER_VERBS)
def test_help_of_each_verb(verb, restore):
    code, out, _ = restore(verb, "--help")
    assert code == 0
    assert "--data.root" in out
    assert "--trainer.max_steps" in out


WRONG = {
    "a misspelt verb": (("fitt",), r"unknown verb 'fitt': choose one of fit"),
    "no such config": (("fit", "--config", "nofile.yaml"), "nofile.yaml: no such file, and no shipped config"),
    "a config flag without a value": (("fit", "--config"), "name a file or a shipped config"),
    "a misspelt trainer flag": (("fit", "--config", TINY, "--trainer.max_step", "3"), "--trainer.max_step"),
    "a misspelt task key": (("fit", "--config", TINY, "--model.lrr", "3"), "'lrr' is not accepted"),
    "a misspelt network key": (("fit", "--config", TINY, "--model.network.widht", "3"), "'widht' is not accepted"),
    "a misspelt data key": (("fit", "--config", TINY, "--data.rot", "x"), "--data.rot"),
    "a word for a number": (("fit", "--config", TINY, "--data.batch_size", "many"), "data.batch_size"),
    "a batch of 0": (("fit", "--config", TINY, "--data.batch_size", "0"), "data.batch_size 0: give at least 1"),
    "a hierarchy that names a factor twice": (
        ("fit", "--config", TINY, "--model.network.hierarchy", "[rain, blur, rain, haze]"),
        "names 'rain' twice",
    ),
    "a hierarchy that misses a factor": (
        ("fit", "--config", TINY, "--model.network.hierarchy", "[rain, blur, haze, noise]"),
        r"data.factors names 'jpeg', the network's hierarchy \[rain, blur, haze, noise\] misses it",
    ),
    "an unknown factor": (("fit", "--config", TINY, "--data.factors", "{fog: {}}"), "unknown factor 'fog'"),
    "as many weights as scales": (("fit", "--config", TINY, "--model.scale_weights", "[1, 2]"), "has 2 numbers"),
    "a crop too small for the loss": (("fit", "--config", TINY, "--data.factors.rain.crop_size", "4"), "crop_size 4"),
    "a validation crop below 0": (("fit", "--config", TINY, "--data.val_crop_size", "-5"), "data.val_crop_size -5"),
    "batches cut off": (("fit", "--config", TINY, "--trainer.limit_train_batches", "3"), "no limit_train_batches"),
    "nothing to draw from": (
        (
            "fit",
            "--config",
            TINY,
            "--data.factors",
            "{jpeg: {degradation: {class_path: Jpeg, init_args: {qualities: []}}}}",
        ),
        "Jpeg.qualities is empty",
    ),
    "no such folder": (("fit", "--config", TINY, "--data.root", "nowhere"), "nowhere is no folder"),
    "crops that the network cannot take": (
        ("fit", "--config", TINY, "--data.crop_size", "50"),
        "crop_size 50 of factor 'blur': the network takes multiples of 16 from",
    ),
    "test before fit": (("test", "--config", TINY), "test needs a trained network"),
    "a checkpoint that is not there": (("fit", "--config", TINY, "--ckpt_path", "no.ckpt"), "no.ckpt: no such file"),
    "no config at all": (("fit",), r"fit needs a model and data: give --config FILE, or a shipped one \(aio3_mbn.yaml"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_clear_line(case, restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, message = WRONG[case]
    code, _, err = restore(*words)
    lines = [line for line in err.splitlines() if line.startswith("restore ")]
    assert code == 2, err
    assert len(lines) == 1
    assert message in lines[0] or re.search(message, lines[0])
    assert "Traceback" not in err
    assert not list(tmp_path.glob("**/*.ckpt"))


def test_photo_folders_that_cannot_be_trained_on(restore, tmp_path, photos):
    def fit(root, *more):
        return restore(
            "fit", "--config", TINY, "--trainer.default_root_dir", tmp_path / "run", "--data.root", root, *more
        )

    (tmp_path / "empty").mkdir()
    code, _, err = fit(tmp_path / "empty")
    assert code == 2
    assert "holds no images" in err
    code, _, err = fit(photos, "--data.crop_size", 256)
    assert code == 2
    assert "crop_size 256 is larger than 3 of 3 images" in err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/x.png").write_bytes(b"\x89PNG broken")
    code, _, err = fit(tmp_path / "broken")
    assert code == 1
    assert "x.png cannot be read as an image" in err


def test_training_on_own_photos(restore, tmp_path, photos):
    code, _, err = restore(
        "fit", "--config", TINY, "--trainer.default_root_dir", tmp_path / "run", "--data.root", photos
    )
    assert code == 0, err
    assert "training on 3 photographs" in err
    assert "stand-in" in err


def test_debug_shows_the_traceback(monkeypatch):
    from restore_lightning.cli import main
    from restore_lightning.errors import UserError

    monkeypatch.setenv("RESTORE_DEBUG", "1")
    with pytest.raises(UserError):
        main(["fitt"])


def test_a_shipped_config_is_found_from_any_directory(restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = restore("test", "--config", "quickstart.yaml")
    assert code == 2
    assert "config: " in err
    assert "configs/quickstart.yaml" in err
    (tmp_path / "quickstart.yaml").write_text(TINY.read_text())  # a file of this name comes first
    assert restore("fit", "--config=quickstart.yaml", "--trainer.max_steps", 1)[0] == 0


@pytest.mark.slow
def test_mbn_yaml_trains_on_real_photos(restore, shared, tmp_path):
    code, out, err = restore(
        "fit", "--config", "mbn.yaml", "--data.root", shared / "data/BSDS500", "--trainer.max_steps", 2,
        "--data.samples_per_step", 1, "--data.num_workers", 0, "--trainer.default_root_dir", tmp_path,
        "--trainer.accelerator", "cpu", "--trainer.logger", "false",
    )  # fmt: skip
    assert code == 0, err
    assert "11,254,072 parameters" in out
    assert "photographs in" in err
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def test_a_refused_overwrite_loses_nothing(restore, tmp_path):
    words = ("fit", "--config", TINY, "--trainer.default_root_dir", tmp_path, "--trainer.max_steps", 1)
    assert restore(*words)[0] == 0
    for wrong in (("--data.batch_size", 0), ("--data.root", "nowhere"), ("--data.crop_size", 50)):
        assert restore(*words, "--overwrite", *wrong)[0] == 2
        assert (tmp_path / "checkpoints/last.ckpt").is_file()
    code, _, err = restore(*words, "--overwrite", "--ckpt_path", "last")
    assert code == 2
    assert "give one of them" in err


def test_going_on_from_another_runs_checkpoint_protects_this_one(restore, tiny_run, tmp_path):
    words = ("fit", "--config", TINY, "--trainer.default_root_dir", tmp_path, "--trainer.max_steps", 1)
    assert restore(*words)[0] == 0
    code, _, err = restore(*words, "--ckpt_path", tiny_run / "checkpoints/last.ckpt")
    assert code == 2
    assert "holds an earlier run" in err


@pytest.mark.slow
def test_a_run_with_a_plateau_schedule_is_extended_exactly(restore, tmp_path):
    def fit(run, *more):
        code, _, err = restore(
            "fit",
            "--config",
            CONF / "plateau.yaml",
            "--trainer.default_root_dir",
            run,
            "--trainer.precision",
            "32",
            *more,
        )
        assert code == 0, err
        return torch.load(run / "checkpoints/last.ckpt", weights_only=True)

    whole = fit(tmp_path / "whole", "--trainer.max_steps", 8)
    fit(tmp_path / "parts", "--trainer.max_steps", 4)
    parts = fit(tmp_path / "parts", "--trainer.max_steps", 8, "--ckpt_path", "last")
    assert whole["optimizer_states"][0]["param_groups"] == parts["optimizer_states"][0]["param_groups"]
    assert all(torch.equal(tensor, parts["state_dict"][name]) for name, tensor in whole["state_dict"].items())


@pytest.mark.slow
def test_accumulated_steps_log_the_loss_of_a_minibatch(restore, tmp_path):
    """Four batches that make a step hold the samples of one batch four times as large: so do their losses."""
    rows = {}
    for accumulate in (1, 4):
        words = ("--trainer.accumulate_grad_batches", accumulate, "--trainer.max_steps", 4, "--trainer.logger", "true")
        words += ("--data.batch_size", 4 // accumulate)
        run = ("--trainer.default_root_dir", tmp_path / str(accumulate), "--trainer.limit_val_batches", 0)
        assert restore("fit", "--config", TINY, *run, *words)[0] == 0
        rows[accumulate] = list(csv.DictReader((tmp_path / str(accumulate) / "metrics.csv").open()))
    name = "train/jpeg/loss"
    losses = {a: [float(row[name]) for row in table if row[name]] for a, table in rows.items()}
    assert losses[1]
    assert losses[4] == pytest.approx(losses[1], rel=1e-4)  # sums are rounded in another order


@pytest.mark.slow
def test_a_photo_that_breaks_off_is_named_with_workers_too(restore, tmp_path, photos):
    whole = (photos / "more/b.jpg").read_bytes()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cut.jpg").write_bytes(whole[: len(whole) // 2])
    for workers in (0, 1):
        run = ("--trainer.default_root_dir", tmp_path / f"run{workers}", "--data.num_workers", workers)
        code, _, err = restore("fit", "--config", TINY, *run, "--data.root", tmp_path / "photos")
        (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
        assert code == 1
        assert "cut.jpg cannot be read as an image" in line
        assert "Traceback" not in err


@pytest.mark.slow
def test_a_run_on_photos_does_not_go_on_with_scenes(restore, tmp_path, photos):
    words = ("fit", "--config", TINY, "--trainer.default_root_dir", tmp_path)
    assert restore(*words, "--data.root", photos, "--trainer.max_steps", 1)[0] == 0
    before = (tmp_path / "config.yaml").read_text()
    code, _, err = restore(*words, "--ckpt_path", "last")
    assert code == 2
    assert f"trained with data.root {photos}, now it is None" in err
    assert (tmp_path / "config.yaml").read_text() == before
    code, _, err = restore("fit", "--config", tmp_path / "config.yaml", "--ckpt_path", "last", "--trainer.max_steps", 2)
    assert code == 0, err
    code, _, err = restore(
        *words, "--data.root", photos, "--ckpt_path", "last", "--trainer.max_steps", 3, "--data.batch_size", 1
    )
    assert code == 0, err
    assert "resuming with other data" in err
