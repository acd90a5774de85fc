"""What a run that goes on from a checkpoint may change: each rule by a run, and as the docs say it."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.errors import UserError
from restore_lightning.runs.resume import RULES, check_resumed, task_settings
from restore_lightning.runs.settings import flatten_config
from tests.conftest import CONF

SGD = json.dumps({"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}})
FACTORS = "{rain: {crop_size: 32}, blur: {minibatches: 2}, jpeg: {}, haze: {}}"
VERBS = ("fit --ckpt_path", "validate, test, predict")
SHORT = ("--trainer.max_steps", 9, "--trainer.limit_val_batches", 0)


class Case(NamedTuple):
    """A run that differs from its checkpoint by one rule.

    Args:
        words: That make the difference; `{photos}` is a folder of photographs.
        said: Part of the refusal, the whole warning, or nothing.
        change: To the checkpoint.
        step: Of the checkpoint: 1 (tiny.yaml), or 2 (recurrent.yaml).
        config: Of the run.
    """

    words: tuple = ()
    said: str | None = None
    change: dict = {}  # noqa: RUF012  (never changed)
    step: int = 1
    config: str = "tiny.yaml"


def rule(start):
    """What the rule says it is about that begins so."""
    (found,) = (rule.what for rule in RULES if rule.what.startswith(start))
    return found


CASES = {
    "a checkpoint of step 1 for a task of step 2": [
        Case(said="a checkpoint of step 1, there is no fine-tuning to go on with", config="recurrent.yaml"),
    ],
    "a checkpoint without a state of training": [
        Case(said="without a state of training", change={"optimizer_states": None}),
    ],
    "the network, but for how its weights were initialised": [
        Case(("--model.network.width", 4), "of another network than the config's: 238 of another shape"),
        Case(("--model.network.statistics", "[mean]"), "of another network than the config's: "),
    ],
    "the recurrent order": [
        Case(
            said="in the order [haze, jpeg, rain, blur], now it is [jpeg, haze, blur, rain]; ",
            step=2,
            config="recurrent.yaml",
        )
    ],
    "task, optimiser, learning-rate schedule": [
        Case(("--model.optimizer", SGD), "model.init_args.optimizer was restore_lightning.tasks.base.adam, is None"),
        Case(("--model.lr_scheduler_every", 2), "model.init_args.lr_scheduler_every was 1, is 2"),
        Case(said="model.class_path was restore_lightning.tasks.RecurrentTask, is restore_lightning.tasks.M", step=2),
    ],
    "averaged weights, to none": [
        Case(said="averages its weights, this one does not: go on with --config", change={"weights": "averaged"}),
    ],
    "photographs, to procedural scenes or back": [
        Case(("--data.root", "{photos}"), "the run was trained with data.root None, now it is "),
        Case(("--data.factors.rain.clean", "{photos}"), "the run was trained with data.factors' folders {'rain': "),
    ],
    "`seed_everything`": [
        Case(("--seed_everything", 5), "the run was trained with seed_everything 0, now it is 5"),
    ],
    rule("factors, `data.batches`"): [
        Case(
            ("--data.factors", FACTORS),
            "minibatches per cycle {'rain': 1, 'blur': 1, 'jpeg': 1, 'haze': 1}, now it is {'rain': 1, 'blur': 2",
        ),
        Case(  # a cycle's shuffle follows from their order
            ("--data.factors", "{blur: {}, rain: {}, jpeg: {}, haze: {}}"),
            "minibatches per cycle {'rain': 1, 'blur': 1, 'jpeg': 1, 'haze': 1}, now it is {'blur': 1, 'rain': 1",
        ),
    ],
    "the position in the data": [Case()],
    rule("samples per step"): [
        Case(("--data.factors.rain.augment", "[vflip]"), "augment of rain was ['hflip'], is ['vflip']"),
        Case(("--data.factors.blur.batch_size", 1), "samples per step of blur was 2, is 1"),
    ],
    rule("`trainer.precision`"): [
        Case(
            ("--trainer.precision", "32-true"),
            "was bf16-mixed, is 32-true; --trainer.precision bf16-mixed goes on as before",
            {"precision": "bf16-mixed"},
        ),
        Case(
            ("--trainer.precision", "bf16-mixed"),  # trained before checkpoints said it
            "was 32-true, is bf16-mixed; --trainer.precision 32-true goes on as before",
            {"precision": None},
        ),
    ],
    rule("how images are restored"): [Case(("--model.inference.self_ensemble", "true"))],
    rule("the loss"): [
        Case(("--model.ssim_weight", 2.0), "model.init_args.ssim_weight was 1.1, is 2.0"),
        Case(("--trainer.gradient_clip_val", 1.0), "trainer.gradient_clip_val was None, is 1.0"),
    ],
    rule("`trainer.max_steps`"): [Case(("--data.num_workers", 1))],
}
EACH = [(rule, case) for rule in RULES for case in CASES[rule.what]]


@pytest.mark.parametrize(("rule", "case"), EACH, ids=[f"{rule.what[:40]} {case.words[:1]}" for rule, case in EACH])
def test_each_rule(rule, case, restore, step_1, step_2, photos, tmp_path):
    checkpoint = torch.load(step_1 if case.step == 1 else step_2, weights_only=True)
    torch.save(checkpoint | case.change, tmp_path / "before.ckpt")
    words = [str(word).replace("{photos}", str(photos)) for word in case.words]
    run = ("--trainer.default_root_dir", tmp_path / "run", "--ckpt_path", tmp_path / "before.ckpt")
    code, _, err = restore("fit", "--config", CONF / case.config, *run, *SHORT, *words)
    warnings = [line for line in err.splitlines() if line.startswith("resuming with")]
    if rule.verdict == "refused":
        (line,) = [line for line in err.splitlines() if line.startswith("restore fit:")]
        assert code == 2
        assert case.said in line
        assert "config.yaml" in line or "--model.init_from" in line
        assert not list((tmp_path / "run").glob("checkpoints/*"))
    else:
        assert code == 0, err
        assert [warning.partition(": ")[2] for warning in warnings] == ([case.said] if case.said else [])
        assert bool(warnings) == (rule.verdict == "warned")


def test_any_data_and_task_are_scored(restore, step_1, tmp_path):
    """Of what `fit` refuses or warns of."""
    words = ("--seed_everything", 5, "--data.factors", FACTORS, "--model.optimizer", SGD, "--model.ssim_weight", 2.0)
    run = ("--trainer.default_root_dir", tmp_path, "--ckpt_path", step_1)
    code, _, err = restore("validate", "--config", CONF / "tiny.yaml", *run, *words)
    assert code == 0, err
    assert "resuming" not in err


def test_another_order_is_scored_with_a_warning(restore, step_2, tmp_path):
    run = ("--trainer.default_root_dir", tmp_path, "--ckpt_path", step_2)
    code, _, err = restore("validate", "--config", CONF / "recurrent.yaml", *run)
    assert code == 0, err
    assert "fine-tuned in the order [haze, jpeg, rain, blur], now it is [jpeg, haze, blur, rain]" in err


def test_the_docs_show_the_rules():
    lines = (Path(__file__).parents[2] / "docs/training.md").read_text().splitlines()
    start = lines.index(
        f"| what differs | `{VERBS[0]}` | {', '.join(f'`{verb}`' for verb in VERBS[1].split(', '))} | why |"
    )
    rows = [f"| {rule.what} | {rule.verdict} | {rule.scoring} | {rule.why} |" for rule in RULES]
    assert lines[start + 2 : start + 2 + len(rows) + 1] == [*rows, ""]


def test_a_checkpoint_that_does_not_know(step_1):
    """One of before a key existed, or of a run that no command made, is compared by what it says."""
    checkpoint = torch.load(step_1, weights_only=True)
    older = {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "order")}
    check_resumed(older, checkpoint)
    data = {name: value for name, value in checkpoint["RestorationData"].items() if name not in ("seed", "scenes")}
    check_resumed(older | {"RestorationData": data}, checkpoint | {"RestorationData": data | {"seed": 7}})


def test_places_are_not_compared():
    config = {"data": {"root": "/a", "factors": {"rain": {"clean": "/b", "minibatches": 2}}}, "seed_everything": 3}
    assert flatten_config(config) == {"data.factors.rain.minibatches": 2, "seed_everything": 3}


def test_settings_that_a_checkpoint_keeps(step_1):
    """Those that a rule warns of or refuses, each by its own name."""
    kept = torch.load(step_1, weights_only=True)["settings"]
    assert task_settings(kept) == kept
    free = ("trainer.max_steps", "trainer.devices", "model.init_args.network.init_args.width", "data.batch_size")
    assert task_settings(dict.fromkeys((*kept, *free))).keys() == kept.keys()


@pytest.mark.parametrize(
    "other", [{"settings": ["x"]}, {"network": "resnet"}, {"order": "abc"}, {"RestorationData": 3}]
)
def test_a_checkpoint_of_another_program_is_of_another_network(other):
    """Whatever it keeps under the names of ours."""
    ours = {"state_dict": {"network.conv.weight": torch.zeros(2)}, "optimizer_states": [0], "settings": {"model.a": 1}}
    theirs = {"state_dict": {"fc.weight": torch.zeros(2)}, "optimizer_states": [0], **other}
    with pytest.raises(UserError, match="of another network than the config's"):
        check_resumed(theirs, ours)


def test_folders_that_an_older_checkpoint_does_not_speak_of():
    state = {"state_dict": {"network.a": torch.zeros(1)}, "optimizer_states": [0]}
    now = {"root": None, "folders": {"rain": ["rainy", "clean", None]}}
    with pytest.raises(UserError, match=r"trained with data.factors' folders \{\}, now it is"):
        check_resumed(state | {"RestorationData": {"root": None}}, state | {"RestorationData": now})


def test_another_choice_of_images_is_said(caplog):
    state = {"state_dict": {"network.a": torch.zeros(1)}, "optimizer_states": [0]}

    def of(**choice):
        pairs = FactorConfig(clean="clean", degraded="rainy", **choice)
        return state | {"RestorationData": RestorationData({"rain": pairs}).state_dict()}

    check_resumed(of(), of())
    assert caplog.messages == []
    check_resumed(of(image_list="a.txt"), of(image_list="b.txt", counterpart=["(.*)_1", "\\1"]))
    assert caplog.messages == [
        "resuming with other data: image_list of rain was a.txt, is b.txt",
        "resuming with other data: counterpart of rain was None, is ['(.*)_1', '\\\\1']",
    ]
