"""Step 1 of paper 2: the weights of the factors' losses."""

import csv

import pytest
import torch

from restore_lightning.networks import MBN
from restore_lightning.tasks import MultiBranchTask, RecurrentTask
from tests.conftest import CONF


@pytest.fixture
def one_step(restore, tmp_path):
    """Words -> the weights after one step of plain gradient descent, what it logged, and the step's factor."""

    def run(name, lr, *words):
        given = (
            "--config",
            CONF / "tiny.yaml",
            "--trainer.default_root_dir",
            tmp_path / name,
            "--trainer.max_steps",
            1,
        )
        given += ("--trainer.limit_val_batches", 0, "--trainer.logger", "true", "--trainer.log_every_n_steps", 1)
        code, _, err = restore(
            "fit", *given, "--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", lr, *words
        )
        assert code == 0, err
        (row,) = csv.DictReader((tmp_path / name / "metrics.csv").open())
        losses = {key: loss for key, loss in row.items() if key.startswith("train/")}
        (key,) = losses
        return torch.load(tmp_path / name / "checkpoints/last.ckpt")["state_dict"], losses, key.split("/")[1]

    return run


@pytest.mark.slow
def test_factor_weights(one_step):
    """Twice the weight is twice the gradient, for the factor named and no other; what is logged stays the loss."""
    lr = 2**-7
    plain, losses, factor = one_step("plain", lr)
    doubled, _, _ = one_step("doubled", 2 * lr)
    weighted, logged, _ = one_step("weighted", lr, f"--model.factor_weights.{factor}", 2.0)
    other = next(name for name in ("rain", "blur", "jpeg", "haze") if name != factor)
    elsewhere, _, _ = one_step("elsewhere", lr, f"--model.factor_weights.{other}", 2.0)
    assert logged == losses
    assert any(not torch.equal(tensor, doubled[name]) for name, tensor in plain.items())
    assert all(torch.equal(tensor, doubled[name]) for name, tensor in weighted.items())
    assert all(torch.equal(tensor, elsewhere[name]) for name, tensor in plain.items())


@pytest.mark.slow
def test_training_starts_from_another_runs_weights(one_step, tmp_path):
    first, _, _ = one_step("first", 2**-7)
    still, _, _ = one_step("second", 0.0, "--model.init_from", tmp_path / "first/checkpoints/last.ckpt")
    fresh, _, _ = one_step("third", 0.0)
    assert all(torch.equal(tensor, still[name]) for name, tensor in first.items())
    assert any(not torch.equal(tensor, fresh[name]) for name, tensor in first.items())


@pytest.mark.slow
def test_branches_start_anew(one_step, restore, tmp_path):
    """A pair of another kind and a factor that the first network lacks; all else goes on."""
    first, _, _ = one_step("first", 2**-7)
    start = ("--model.init_from", tmp_path / "first/checkpoints/last.ckpt", "--model.fresh_branches", "[jpeg, snow]")
    changed = ("--model.network.pairs", "{jpeg: convlstm}", "--model.network.hierarchy")
    new, _, _ = one_step("new", 0.0, *start, *changed, "[rain, blur, [jpeg, snow], haze]")
    fresh = {name for name in new if ".jpeg." in name or ".snow." in name}
    assert fresh
    assert {name for name in first if ".jpeg." not in name} == set(new) - fresh
    assert all(torch.equal(first[name], new[name]) for name in set(new) - fresh)

    config = ("--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path / "no")
    code, _, err = restore("fit", *config, *start, *changed, "[blur, rain, [jpeg, snow], haze]")
    assert code == 2
    assert "rain leaves the trunk at level 0 there, here at 1; keep its place in model.network.hierarchy" in err


def test_both_tasks_take_them():
    for task in (MultiBranchTask, RecurrentTask):
        network = MBN(width=2, stem=[(3, 3, 1)], extra=[(3, 3, 1)] * 3)
        assert task(network, factor_weights={"rain": 3.0}).factor_weights == {"rain": 3.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model.factor_weights.snow", 1), "names snow, the data have rain, blur, jpeg, haze: name one of these"),
        (
            ("--model.factor_weights.rain", 0),
            "factor_weights: rain has 0.0: more than 0, or leave the factor's data out",
        ),
        (
            ("--model.factor_weights.rain", "much"),
            "key \"factor_weights\": Expected a <class 'float'>. Got value: much",
        ),
    ],
)
def test_wrong_weights(words, message, restore, tmp_path):
    code, _, err = restore("fit", "--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path, *words)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
    assert line.endswith(message)
