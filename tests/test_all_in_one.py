"""The configs of AIO-3, AIO-5 and CDD-11, and the commands of docs/all_in_one.md."""

import json
import re
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.nn import L1Loss

from restore_lightning.cli import main
from restore_lightning.degradations import CDD11, Noise
from restore_lightning.networks import MBN, NAFNet, PromptIR, Restormer
from restore_lightning.paper_tables.printed import tables
from restore_lightning.shipped_configs import FOLDER

PAGE = Path(__file__).parents[1] / "docs/all_in_one.md"
NETWORKS = {"promptir": (PromptIR, 35_376_967), "restormer": (Restormer, 26_126_644), "nafnet": (NAFNet, 17_111_907)}
PROTOCOLS = ["aio-rgb", "moce-rgb"]


@pytest.fixture
def instantiate(instantiated, tmp_path):
    """Names of configs -> the CLI with everything instantiated, nothing run."""

    def make(*names):
        words = [word for name in names for word in ("--config", name)]
        run = ("--trainer.default_root_dir", str(tmp_path), "--trainer.accelerator", "cpu", "--trainer.logger", "false")
        assert main(["fit", *words, *run]) == 0
        return instantiated[-1]

    return make


def steps(samples):
    """Of an epoch on the authors' four GPUs, of equal parts, without a last batch of 8 that is not full."""
    return -(-samples // 4) // 8


def sets_of(cli):
    return set(cli.datamodule.own_sets["test"])


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_are_told_nothing_have_promptirs_recipe(name, instantiate):
    cli = instantiate(f"aio3_{name}.yaml")
    task, data, (network, parameters) = cli.model, cli.datamodule, NETWORKS[name]
    assert isinstance(task.network, network)
    assert sum(p.numel() for p in task.network.parameters()) == parameters
    assert type(task.criterion) is L1Loss
    assert (data.batches, set(data.samples_per_step.values())) == ("mixed", {32})
    copies = {factor: given.copies for factor, given in data.factors.items()}
    assert copies == {"noise15": 3, "noise25": 3, "noise50": 3, "rain": 120, "haze": 1}
    assert 3 * 3 * 5144 + 120 * 200 + 72_135 == 142_431
    assert cli.trainer.max_steps == 120 * steps(142_431) == 120 * task.lr_scheduler_every
    for factor, resolved in data.resolved.items():
        assert (resolved.crop_size, resolved.augment) == (128, ("seven",))
        assert data.factors[factor].protocol == PROTOCOLS
    for sigma in (15, 25, 50):
        assert data.resolved[f"noise{sigma}"].degradation == Noise(sigmas=[sigma], levels="truncated")
    chosen = task.configure_optimizers()
    assert isinstance(chosen["optimizer"], torch.optim.AdamW)
    schedule = chosen["lr_scheduler"]["scheduler"]
    assert schedule.base_lrs == [2e-4]
    assert (schedule.warmup, schedule.delay, schedule.end, schedule.minimum) == (15, 1, 150, 0)
    assert sets_of(cli) == set(tables()["aio-3"].sets)
    for sigma, earlier in ((15, 0), (25, 1), (50, 2)):
        noise = data.own_sets["test"][f"CBSD68 {sigma}"].noise
        assert (noise.sigma, noise.earlier) == (sigma, earlier)
    assert {(given.multiple, given.keep) for given in data.own_sets["test"].values()} == {(16, "centre")}


def test_they_differ_in_their_network_only():
    first, *others = (yaml.safe_load((FOLDER / f"aio3_{name}.yaml").read_text()) for name in NETWORKS)
    for each in (first, *others):
        del each["model"]["init_args"]["network"], each["trainer"]["default_root_dir"]
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("name", "copies", "epoch", "epochs", "end", "delay"),
    [
        ("aio5", [3, 3, 3, 120, 1, 5, 20], 162_646, 150, 180, 1),
        ("cdd11", [2] * 11, 26_026, 120, 150, 0),
    ],
)
def test_the_other_benchmarks_by_a_second_config(name, copies, epoch, epochs, end, delay, instantiate):
    cli = instantiate("aio3_nafnet.yaml", f"{name}.yaml")
    data, every = cli.datamodule, cli.model.lr_scheduler_every
    assert [given.copies for given in data.factors.values()] == copies
    assert every == steps(epoch)
    assert cli.trainer.max_steps == epochs * every
    schedule = cli.model.configure_optimizers()["lr_scheduler"]["scheduler"]
    assert (schedule.warmup, schedule.delay, schedule.end) == (15, delay, end)
    assert sets_of(cli) == set(tables()[{"aio5": "aio-5", "cdd11": "cdd-11"}[name]].sets)
    multiple = {(given.multiple, given.keep) for given in data.own_sets["test"].values()}
    assert multiple == ({(16, "centre")} if name == "aio5" else {(1, "top-left")})
    assert name == "aio5" or tuple(data.factors) == CDD11


@pytest.mark.parametrize("setting", ["", "aio5_mbn.yaml", "cdd11_mbn.yaml"])
def test_mbn_has_paper_2s_recipe(setting, instantiate):
    cli = instantiate("aio3_mbn.yaml", *filter(None, [setting]))
    task, data = cli.model, cli.datamodule
    assert isinstance(task.network, MBN)
    assert set(task.network.info.factors) == set(data.factors)
    assert (task.ssim_weight, task.l1_weight) == (1.1, 0.75)
    assert (data.batches, set(data.samples_per_step.values())) == ("one_factor", {40})
    sizes = {factor: resolved.crop_size for factor, resolved in data.resolved.items()}
    assert sizes == {factor: 128 if factor == "rain" else 256 for factor in sizes}
    assert setting or cli.trainer.max_steps == 120_000 * sum(data.schedule.counts.values())
    assert task.lr_scheduler_every == 1000 * sum(data.schedule.counts.values())
    (group,) = task.configure_optimizers()["optimizer"].param_groups
    assert (group["lr"], group["betas"]) == (1e-4, (0.9, 0.999))


def test_r_mbn_goes_on_from_mbn(instantiate):
    first, second = instantiate("aio3_mbn.yaml"), instantiate("aio3_r_mbn.yaml")
    task = second.model
    assert task.init_from == "runs/aio3_mbn/checkpoints/last.ckpt"
    assert first.model.network.levels == task.network.levels
    assert first.datamodule.resolved == second.datamodule.resolved
    assert (task.intermediate_weight, task.final_weight, task.order) == (0.8, 0.2, ["noise", "haze", "rain"])
    assert second.trainer.max_steps == 25_000 * 3
    assert set(second.datamodule.samples_per_step.values()) == {4}
    assert task.configure_optimizers().param_groups[0]["lr"] == 1e-6
    assert sets_of(first) == sets_of(second) == set(tables()["aio-3"].sets)


def images(folder, *names):
    """Small images of these names, each another one."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = zlib.crc32(f"{folder.name}/{name}".encode())
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (72, 80, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `AIO` and `CDD11` as published, one image of each kind, and `shards` of them."""
    folder = tmp_path_factory.mktemp("all_in_one")
    aio = folder / "AIO"
    images(aio / "data/Train", "Denoise/a.png", "Derain/rainy/rain-1.png", "Derain/gt/norain-1.png")
    images(aio / "data/Train", "Dehaze/synthetic/part1/0001_0.8_0.2.png", "Dehaze/original/0001.png")
    images(aio / "data/Train", "Deblur/blur/1.png", "Deblur/sharp/1.png", "Enhance/low/1.png", "Enhance/gt/1.png")
    images(aio / "test", "denoise/bsd68/b.png", "derain/Rain100L/input/1.png", "derain/Rain100L/target/1.png")
    images(aio / "test", "dehaze/input/0002_0.8_0.2.png", "dehaze/target/0002.png")
    images(aio / "test", "deblur/gopro/input/1.png", "deblur/gopro/target/1.png")
    images(aio / "test", "enhance/lol/input/1.png", "enhance/lol/target/1.png")
    for split in ("train", "test"):
        images(folder / "CDD11" / split, *(f"{kind}/1.png" for kind in ("clear", *CDD11)))
    return folder


@pytest.fixture(scope="module")
def packed(place):
    """The same, with shards of all."""
    for source in ("noise", "rain", "haze", "blur", "low"):
        assert main(["shards", "pack", f"aio-{source}", str(place / "AIO"), str(place / f"shards/aio-{source}")]) == 0
    assert main(["shards", "pack", "cdd11", str(place / "CDD11"), str(place / "shards/cdd11")]) == 0
    return place


REDUCED = (
    "--trainer.max_steps 2 --trainer.logger false --trainer.accelerator cpu --trainer.enable_progress_bar false"
    " --data.samples_per_step 2 --data.crop_size 64 --data.num_workers 0"
)
TINY = "--model.network.width 2 --model.network.encoders [0] --model.network.decoders [0]"
TINY_MBN = (
    "--model.network.width 2 --model.network.stem [[3,3,1]] --model.network.extra [[3,3,1],[3,3,1],[3,3,1]]"
    " --model.network.iterations 2 --data.factors.rain.crop_size 64"
)
RESTORMER = "--model.network.width 8 --model.network.blocks [1,1,1,1] --model.network.refinement 1"
RUNS = [
    ("aio3_restormer.yaml", None, RESTORMER, 5),
    ("aio3_nafnet.yaml", "aio5.yaml", TINY, 5),
    ("aio3_nafnet.yaml", "cdd11.yaml", TINY, 11),
    ("aio3_mbn.yaml", "aio5_mbn.yaml", TINY_MBN, 5),
    ("aio3_mbn.yaml", "cdd11_mbn.yaml", TINY_MBN, 11),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "setting", "smaller", "sets"), RUNS)
def test_configs_run(name, setting, smaller, sets, packed, restore, tmp_path, monkeypatch):
    """Two steps, a test and an image restored; R-MBN after MBN. AIO-3's other networks: the page's commands."""
    monkeypatch.chdir(packed)
    run, configs = tmp_path / "run", [word for each in filter(None, (name, setting)) for word in ("--config", each)]
    words = [*configs, *f"{REDUCED} {smaller}".split()]
    code, _, err = restore("fit", *words, "--trainer.default_root_dir", run)
    assert code == 0, err
    more = []
    if name == "aio3_mbn.yaml":
        more = ["--config", "cdd11.yaml"] if setting == "cdd11_mbn.yaml" else []
        order = "[haze, snow, rain, low]" if more else "[noise, low, haze, blur, rain]"
        words[1] = "aio3_r_mbn.yaml"
        words += ["--model.order", order, "--model.init_from", run / "checkpoints/last.ckpt"]
        run = tmp_path / "r_mbn"
        code, _, err = restore("fit", *words, "--trainer.default_root_dir", run)
        assert code == 0, err
    code, _, err = restore("test", "--config", run / "config.yaml", *more)
    assert code == 0, err
    assert len(json.loads((run / "scores.json").read_text())["sets"]) == sets
    image = packed / "AIO/test/dehaze/input"
    code, _, err = restore("apply", run / "checkpoints/last.ckpt", image, "--output", tmp_path / "out")
    assert code == 0, err
    assert Image.open(tmp_path / "out/0002_0.8_0.2.png").size == (80, 72)


def calls(script, folder):
    """The words of each call of `restore` in a script, as a shell makes them."""
    note = 'restore() { printf "%s\\0" "$@" >> calls; printf "\\n" >> calls; }; wandb() { :; }\n'
    subprocess.run(["bash", "-eu", "-c", note + script], cwd=folder, check=True, timeout=60)
    return [line.rstrip("\0").split("\0") for line in (folder / "calls").read_text().splitlines()]


def scripts():
    """The page's commands, a script of each block; the one at toy size, and the others."""
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (toy,) = [block for block in blocks if "TOY=" in block]
    return toy, [block for block in blocks if block != toy]


@pytest.mark.slow
def test_the_page_at_toy_size(place, restore, tmp_path, monkeypatch):
    """Every command from `shards pack` to the table, with two steps in place of 120."""
    script, _ = scripts()
    assert script.count("max_steps 120 ") == 1
    made = calls(script.replace("max_steps 120 ", "max_steps 2 --trainer.logger false "), tmp_path)
    assert [verb for verb, *_ in made[-2:]] == ["apply", "table"]
    (tmp_path / "AIO").symlink_to(place / "AIO")
    monkeypatch.chdir(tmp_path)
    for words in made:
        code, out, err = restore(*words)
        assert code == 0, (words, err)
    for name in ("NAFNet (factor unknown)", "PromptIR (factor unknown)", "R-MBN (factor unknown)"):
        assert name in out
    assert (tmp_path / "restored/0002_0.8_0.2.png").is_file()


@pytest.mark.slow
def test_the_commands_at_full_size_are_accepted(restore, tmp_path):
    made = calls("\n".join(scripts()[1]), tmp_path)
    assert {verb for verb, *_ in made} == {"fit", "test", "apply", "shards", "table"}
    fits = [words for verb, *words in made if verb == "fit"]
    assert len(fits) == 9
    for words in fits:
        code, _, err = restore("fit", *words, "--print_config")
        assert code == 0, (words, err)
