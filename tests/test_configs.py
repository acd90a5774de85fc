"""All shipped configs are parsed and instantiated, and hold the papers' values."""

from importlib.metadata import version

import pytest
import torch

from restore_lightning.cli import main
from restore_lightning.configs import FOLDER, find_config, shipped
from restore_lightning.errors import UserError


@pytest.fixture
def instantiate(monkeypatch, tmp_path):
    """Config name -> the CLI with everything instantiated, nothing run."""
    from restore_lightning.commands import trainer

    def make(name, *words):
        made = []
        monkeypatch.setattr(trainer.RestoreCLI, "_run_subcommand", lambda self, subcommand: made.append(self))
        code = main(
            [
                "fit",
                "--config",
                name,
                "--trainer.default_root_dir",
                str(tmp_path),
                "--trainer.accelerator",
                "cpu",
                *words,
            ]
        )
        assert code == 0
        return made[0]

    return make


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_config(name, instantiate):
    cli = instantiate(name, "--trainer.logger", "false")
    for factor, plan in cli.datamodule.plans.items():
        assert set(cli.model.possible(factor, plan)) <= set(cli.model.network.factors)
        for name in cli.model.passes(factor):
            assert cli.model.network.size_rule(name).padded(plan.crop_size) == plan.crop_size
    optimizer = cli.model.configure_optimizers()
    assert optimizer


def test_mbn_yaml_is_step_1_of_paper_2(instantiate):
    cli = instantiate("mbn.yaml", "--trainer.logger", "false")
    task, data = cli.model, cli.datamodule
    assert sum(p.numel() for p in task.network.parameters()) == 11_254_072
    assert task.network.levels == {"rain": 0, "blur": 1, "jpeg": 2, "haze": 3}
    assert (task.ssim_weight, task.l1_weight, task.scale_weights) == (1.1, 0.75, None)
    assert data.schedule.minibatches == {"rain": 1, "blur": 3, "jpeg": 1, "haze": 1}
    assert cli.trainer.max_steps == 120_000 * 6
    assert {factor: plan.batch_size for factor, plan in data.plans.items()} == dict.fromkeys(data.plans, 40)
    assert {f: p.crop_size for f, p in data.plans.items()} == {"rain": 128, "blur": 256, "jpeg": 256, "haze": 256}
    assert {factor: plan.augment for factor, plan in data.plans.items()} == {
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


def test_names_are_found_by_path_first_then_among_the_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("mbn.yaml") == find_config("mbn") == FOLDER / "mbn.yaml"
    (tmp_path / "mbn.yaml").touch()
    assert find_config("mbn.yaml").resolve() == tmp_path / "mbn.yaml"
    with pytest.raises(UserError, match=r"no shipped config of this name \(mbn.yaml, quickstart.yaml"):
        find_config("nbm.yaml")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("restore-lightning")
