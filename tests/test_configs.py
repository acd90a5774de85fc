"""All shipped configs are parsed and instantiated, and hold the papers' values."""

import json
from importlib.metadata import version
from typing import NamedTuple

import pytest
import torch
from PIL import Image
from torch.nn import L1Loss, MSELoss

from restore_lightning.cli import main
from restore_lightning.data.sources.base import CleanImage
from restore_lightning.data.sources.synthetic import degrade
from restore_lightning.errors import UserError
from restore_lightning.losses import SSIML1
from restore_lightning.network_specs import architecture_difference
from restore_lightning.networks import DIN, DRN, DuRN
from restore_lightning.shipped_configs import FOLDER, find_config, shipped


@pytest.fixture
def instantiate(instantiated, tmp_path):
    """Config name -> the CLI with everything instantiated, nothing run."""

    def make(name, *words):
        run = ("--trainer.default_root_dir", str(tmp_path), "--trainer.accelerator", "cpu")
        assert main(["fit", "--config", name, *run, *words]) == 0
        return instantiated[-1]

    return make


SINGLE = {name for name in shipped() if name.startswith(("durn_", "drn_", "din_"))}
ALL_IN_ONE = {name for name in shipped() if name.startswith(("aio", "cdd11"))}  # test_all_in_one.py
SCORED_ON = {"small_test.yaml"}  # a second config, of data alone


@pytest.mark.parametrize("name", sorted(set(shipped()) - SINGLE - ALL_IN_ONE - SCORED_ON))
def test_every_multi_branch_config(name, instantiate):
    cli = instantiate(name, "--trainer.logger", "false")
    for factor, resolved in cli.datamodule.resolved.items():
        assert set(cli.model.possible(factor, resolved)) <= set(cli.model.network.info.factors)
        for name in cli.model.passes(factor):
            assert cli.model.network.info.size_rule(name).padded(resolved.crop_size) == resolved.crop_size
    optimizer = cli.model.configure_optimizers()
    assert optimizer


class Recipe(NamedTuple):
    """What the papers say of a config."""

    network: type
    parameters: int
    batch: int
    crop: int
    lr: float
    steps: int
    schedule: tuple  # milestones and factor, or a period
    loss: type
    protocol: str


# Parameters of DIN for other tasks than super-resolution are not published: counted by hand from the layers' shapes.
TRUNK = 19_928_307 - (64 * 9 * 256 + 256)
STRIDED = TRUNK + (64 * 64 * 64 + 64) + 2 * (64 * 9 * 256 + 256)
RECIPES = {
    "durn_gaussian_noise.yaml": Recipe(
        DuRN, 816_225, 100, 64, 1e-3, 90_000, ([15_000, 30_000, 45_000, 75_000], 0.1), MSELoss, "durn-gray"
    ),
    "durn_real_noise.yaml": Recipe(DuRN, 815_651, 30, 128, 1e-4, 3500, ([1000, 2000], 0.1), SSIML1, "durn-rgb"),
    "durn_blur.yaml": Recipe(DuRN, 12_856_579, 10, 256, 1e-4, 1_055_000, ([422_000, 844_000], 0.1), SSIML1, "durn-rgb"),
    "durn_haze.yaml": Recipe(DuRN, 9_070_915, 40, 256, 1e-4, 105_000, ([24_500, 49_000], 0.1), SSIML1, "durn-rgb"),
    "durn_rain.yaml": Recipe(DuRN, 3_729_923, 40, 64, 1e-4, 200_000, (200_000,), SSIML1, "durn-y"),
    "durn_raindrop.yaml": Recipe(DuRN, 10_176_963, 24, 256, 1e-4, 144_000, ([72_000], 0.5), SSIML1, "durn-y"),
    "durn_raindrop_l1.yaml": Recipe(DuRN, 10_176_963, 24, 256, 1e-5, 3600, (), L1Loss, "durn-y"),
    "drn_rain100h.yaml": Recipe(
        DRN, 10_595, 16, 100, 1e-3, 117_600, ([35_280, 58_800, 94_080], 0.5), SSIML1, "matlab-y"
    ),
    "drn_rain100l.yaml": Recipe(
        DRN, 10_595, 16, 100, 1e-3, 37_500, ([11_250, 18_750, 30_000], 0.5), SSIML1, "matlab-y"
    ),
    "din_sr.yaml": Recipe(DIN, 19_928_307, 8, 48, 1e-4, 517_800, (172_600, 0.5), L1Loss, "sr-y"),
    "din_rain.yaml": Recipe(DIN, TRUNK, 8, 48, 1e-4, 517_800, (172_600, 0.5), L1Loss, "din-y"),
    "din_blur.yaml": Recipe(
        DIN,
        STRIDED,
        8,
        256,
        1e-4,
        517_800,
        (172_600, 0.5),
        L1Loss,
        "din-rgb",
    ),
    "din_haze.yaml": Recipe(
        DIN,
        STRIDED,
        8,
        256,
        1e-4,
        517_800,
        (172_600, 0.5),
        L1Loss,
        "din-rgb",
    ),
}


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_single_factor_configs_hold_the_papers_values(name, instantiate):
    recipe, cli = RECIPES[name], instantiate(name, "--trainer.logger", "false")
    task, ((factor, resolved),) = cli.model, cli.datamodule.resolved.items()
    assert isinstance(task.network, recipe.network)
    assert sum(p.numel() for p in task.network.parameters()) == recipe.parameters
    assert (cli.datamodule.samples_per_step, resolved.crop_size) == ({factor: recipe.batch}, recipe.crop)
    assert cli.trainer.max_steps == recipe.steps
    assert type(task.criterion) is recipe.loss
    assert cli.datamodule.factors[factor].protocol == recipe.protocol
    weights = (1.0, 0.0) if name.startswith("drn") else (1.1, 0.75)
    assert recipe.loss is not SSIML1 or (task.criterion.ssim_weight, task.criterion.l1_weight) == weights
    assert task.output_weights == ("increasing" if name.startswith("drn") else "equal")
    assert resolved.augment == {"durn_rain.yaml": ("hflip",), "drn_rain100l.yaml": ("hflip",)}.get(
        name, ("hflip", "rot90") if name.startswith("din") else ()
    )
    assert (resolved.colour, resolved.repeats) == (("gray", 10) if name == "durn_gaussian_noise.yaml" else ("rgb", 1))
    chosen = task.configure_optimizers()
    optimizer = chosen["optimizer"] if isinstance(chosen, dict) else chosen
    assert isinstance(optimizer, torch.optim.Adam)
    (group,) = optimizer.param_groups
    assert group["lr"] == recipe.lr
    assert group["betas"] == ((0.9, 0.99) if name.startswith("din") else (0.9, 0.999))
    assert bool(recipe.schedule) == isinstance(chosen, dict)
    if recipe.schedule:
        schedule = chosen["lr_scheduler"]["scheduler"].state_dict()
        if isinstance(recipe.schedule[0], list):
            assert (list(schedule["milestones"]), schedule["gamma"]) == recipe.schedule
        else:
            assert recipe.schedule == tuple(schedule[key] for key in ("T_max", "step_size", "gamma") if key in schedule)


SMALLER = {  # the least that still is the config's network
    "durn": "--model.network.width 4",
    "drn": "--model.network.width 4",
    "din": "--model.network.D 2 --model.network.B 2 --model.network.M 2 --model.network.growth 4"
    " --model.network.width 8",
}
REDUCED = (
    "--trainer.max_steps 2 --trainer.limit_val_batches 1 --trainer.limit_test_batches 1 --trainer.val_check_interval 2"
    " --trainer.logger false --trainer.accelerator cpu --trainer.enable_progress_bar false --data.val_crop_size 64"
    " --data.samples_per_step 2 --data.crop_size 32 --data.num_workers 0 "
)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SINGLE))
def test_every_single_factor_config_runs(name, restore, tmp_path, photos):
    """Two steps and a test by the real command, then an image restored."""
    run = tmp_path / "run"
    words = [*(REDUCED + SMALLER[name.partition("_")[0]]).split(), "--trainer.default_root_dir", run]
    if name == "durn_raindrop_l1.yaml":
        first = ["--config", "durn_raindrop.yaml", *words[:-1], tmp_path / "first"]
        code, _, err = restore("fit", *first)
        assert code == 0, err
        words += ["--model.init_from", tmp_path / "first/checkpoints/last.ckpt"]
    code, out, err = restore("fit", "--config", name, *words)
    assert code == 0, err
    assert "parameters" in out
    code, out, err = restore("test", "--config", run / "config.yaml")
    assert code == 0, err
    (scored,) = json.loads((run / "scores.json").read_text())["sets"].values()
    assert scored["images"] == 1
    code, _, err = restore("apply", run / "checkpoints/last.ckpt", photos / "a.png", "--output", tmp_path / "out")
    assert code == 0, err
    scale = 2 if name == "din_sr.yaml" else 1
    assert Image.open(tmp_path / "out/a.png").size == (280 * scale, 200 * scale)


def test_mbn_yaml_is_step_1_of_paper_2(instantiate):
    cli = instantiate("mbn.yaml", "--trainer.logger", "false")
    task, data = cli.model, cli.datamodule
    assert sum(p.numel() for p in task.network.parameters()) == 11_254_072
    assert task.network.levels == {"rain": 0, "blur": 1, "jpeg": 2, "haze": 3}
    assert (task.ssim_weight, task.l1_weight, task.scale_weights) == (1.1, 0.75, None)
    assert data.schedule.counts == {"rain": 1, "blur": 3, "jpeg": 1, "haze": 1}
    assert cli.trainer.max_steps == 120_000 * 6
    assert data.samples_per_step == dict.fromkeys(data.resolved, 40)
    assert {f: p.crop_size for f, p in data.resolved.items()} == {"rain": 128, "blur": 256, "jpeg": 256, "haze": 256}
    assert {factor: resolved.augment for factor, resolved in data.resolved.items()} == {
        "rain": ("hflip",),
        "blur": ("hflip",),
        "jpeg": ("hflip",),
        "haze": ("hflip", "vflip", "rot90"),
    }
    chosen = task.configure_optimizers()
    (group,) = chosen["optimizer"].param_groups
    assert isinstance(chosen["optimizer"], torch.optim.Adam)
    assert (group["lr"], group["betas"], group["eps"]) == (1e-4, (0.9, 0.999), 1e-8)
    plateau = chosen["lr_scheduler"]
    assert (plateau["scheduler"].monitor, plateau["scheduler"].factor) == ("train/loss", 0.1)
    assert pytest.approx(plateau["scheduler"].min_lrs[0]) == 1e-4 * 0.1**2  # twice
    for _ in range(20):  # a loss, negative, that has stopped decreasing
        plateau["scheduler"].step(-1.5)
    assert chosen["optimizer"].param_groups[0]["lr"] == pytest.approx(1e-6)


@pytest.mark.parametrize("name", ["small.yaml", "small_l1.yaml", "small_r_mbn.yaml", "small_r_mbn_end.yaml"])
def test_small_networks_fit_into_the_package_and_learn_to_leave_clean_images_alone(name, instantiate):
    cli = instantiate(name, "--trainer.logger", "false")
    assert sum(p.numel() for p in cli.model.network.parameters()) < 1e6  # two of them are 4 MB in half precision
    clean = CleanImage(torch.arange(3 * 32 * 32, dtype=torch.uint8).view(3, 32, 32), torch.ones(32, 32))
    untouched = set()
    for factor, resolved in cli.datamodule.resolved.items():
        pairs = (degrade(clean, factor, resolved.degradation, seed) for seed in range(60))
        if any(torch.equal(pair.degraded, clean.image) for pair in pairs):
            untouched.add(factor)
    assert untouched == {"rain", "blur", "haze"}  # JPEG of any quality loses something


@pytest.mark.parametrize(
    ("earlier", "name"),
    [
        ("small_start.yaml", "small.yaml"),
        ("small.yaml", "small_end.yaml"),
        ("small_jpeg.yaml", "small_l1.yaml"),
        ("small_end.yaml", "small_r_mbn.yaml"),
        ("small_r_mbn.yaml", "small_r_mbn_end.yaml"),
    ],
)
def test_each_step_of_small_goes_on_from_the_one_before(earlier, name, instantiate):
    first = instantiate(earlier, "--trainer.logger", "false")
    second = instantiate(name, "--trainer.logger", "false")
    assert second.model.init_from == f"runs/{earlier.removesuffix('.yaml')}/checkpoints/last.ckpt"
    assert not architecture_difference(first.model.network_spec, second.model.network_spec)


def test_small_jpeg_goes_on_with_another_pair_for_jpeg(instantiate):
    first, second = (instantiate(f"small_{step}.yaml", "--trainer.logger", "false") for step in ("end", "jpeg"))
    assert second.model.init_from == "runs/small_end/checkpoints/last.ckpt"
    difference = architecture_difference(first.model.network_spec, second.model.network_spec)
    assert difference
    assert difference.startswith("pairs is ")
    assert second.model.fresh_branches == ["jpeg"]


def test_the_last_step_of_small_has_the_same_degradations(instantiate):
    """But for how often each density of haze is drawn."""
    first, last = (instantiate(name, "--trainer.logger", "false") for name in ("small.yaml", "small_r_mbn.yaml"))
    haze, more_haze = (step.datamodule.resolved.pop("haze").degradation for step in (first, last))
    assert first.datamodule.resolved == last.datamodule.resolved
    assert (haze.airlights, set(haze.betas)) == (more_haze.airlights, set(more_haze.betas))


def test_the_small_networks_are_scored_on_strong_degradations_alone(instantiate):
    cli = instantiate("small.yaml", "--config", "small_test.yaml", "--trainer.logger", "false")
    start = instantiate("small_start.yaml", "--trainer.logger", "false")
    ours, theirs = ({f: str(r.degradation) for f, r in c.datamodule.resolved.items()} for c in (cli, start))
    assert ours == theirs


def test_names_are_found_by_path_first_then_among_the_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("mbn.yaml") == find_config("mbn") == FOLDER / "mbn.yaml"
    (tmp_path / "mbn.yaml").touch()
    assert find_config("mbn.yaml").resolve() == tmp_path / "mbn.yaml"
    with pytest.raises(UserError, match=r"no shipped config of this name \(.*din_blur.*, mbn.yaml, quickstart.yaml"):
        find_config("nbm.yaml")
    with pytest.raises(UserError, match=r"^--config runs/nbm/config.yaml: no such file$"):
        find_config("runs/nbm/config.yaml")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("restore-lightning")
