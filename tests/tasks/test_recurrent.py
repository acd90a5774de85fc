"""Step 2 of paper 2: the recurrent loss, what it trains, and the runs from outside."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from restore_lightning.inference import InferenceSettings, restore_in_order
from restore_lightning.losses import multiscale_ssim_l1
from restore_lightning.networks import MBN
from restore_lightning.tasks import MultiBranchTask, RecurrentTask
from tests.conftest import CONF

TINY, RECURRENT = CONF / "tiny.yaml", CONF / "recurrent.yaml"
ORDER = ["jpeg", "haze", "blur", "rain"]
NEW = {"activation_checkpointing": False}


def tiny_network(width=2):
    torch.manual_seed(0)
    return MBN(width=width, stem=[(3, 3, 1)], extra=[(3, 3, 1)] * 3, iterations=2, init="scaled")


@pytest.fixture
def fine_tune(restore, step_1):
    """Words -> the outcome of fine-tuning from that checkpoint."""

    def run(folder, *words):
        given = ("--model.init_from", step_1) if "--model.init_from" not in words else ()
        return restore("fit", "--config", RECURRENT, "--trainer.default_root_dir", folder, *given, *words)

    return run


def state(path):
    return torch.load(path, weights_only=True)["state_dict"]


def batch_of(factors, size=64, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((2, len(factors), 3, size, size), generator=generator, dtype=dtype)
    return {"factor": "any", "factors": factors, "degraded": images[0], "clean": images[1]}


def numeric_slope(task, batch, parameter, direction, step=1e-8):
    """The loss's derivative along a direction, by central differences."""
    values = []
    with torch.no_grad():
        for sign in (1, -1):
            parameter.add_(sign * step * direction)
            values.append(task.loss(batch))
            parameter.sub_(sign * step * direction)
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("factor", ORDER)
def test_gradients_in_float64(factor, checkpointing):
    """For each factor position: autograd's slope of the whole loss is that of central differences."""
    network = tiny_network(width=4).double()
    for branch in network.outputs.values():  # the scaled initialisation starts them at zero
        for parameter in branch.last.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
    network.activation_checkpointing = checkpointing
    task, batch = RecurrentTask(network), batch_of([(factor,)])
    task.loss(batch).backward()
    names = [f"outputs.{factor}.last.0.weight", "outputs.rain.last.0.weight", "stem.0.f.conv1.weight"]
    for name in names:
        parameter = dict(network.named_parameters())[name]
        assert parameter.grad.abs().max() > 0, name
        direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        slope = float((parameter.grad * direction).sum())
        assert slope == pytest.approx(float(numeric_slope(task, batch, parameter, direction)), rel=1e-5, abs=1e-7), name
    assert all(parameter.grad is None for parameter in network.inputs.parameters())


@pytest.mark.parametrize("order", [ORDER, ["blur", "rain", "haze", "jpeg"]])
@pytest.mark.parametrize("factor", ORDER)
def test_the_loss_is_the_papers(factor, order):
    """0.8 of the pass that removes the factor, 0.2 of the last, clamped in between, all scales summed."""
    network = tiny_network().double()
    task, batch = RecurrentTask(network, order=order), batch_of([(factor,)])
    image, losses = batch["degraded"], {}
    with torch.no_grad():
        for name in order:
            outputs = network(image, name)
            losses[name] = multiscale_ssim_l1(outputs, batch["clean"])
            image = outputs[-1].clamp(0, 1)
        expected = 0.8 * losses[factor] + 0.2 * losses[order[-1]]
        assert task.loss(batch) == pytest.approx(float(expected), rel=1e-12)
        weighted = RecurrentTask(network, order=order, intermediate_weight=0.5, final_weight=2.0)
        expected = 0.5 * losses[factor] + 2.0 * losses[order[-1]]
        assert weighted.loss(batch) == pytest.approx(float(expected), rel=1e-12)


def test_a_mixed_image_counts_where_its_last_factor_is_removed():
    task = RecurrentTask(tiny_network().double())
    both = batch_of([("haze", "jpeg"), ("blur",)])
    with torch.no_grad():
        alone = [
            task.loss(
                {
                    **both,
                    "factors": [(name,)],
                    "degraded": both["degraded"][i : i + 1],
                    "clean": both["clean"][i : i + 1],
                }
            )
            for i, name in enumerate(("haze", "blur"))  # haze is removed after jpeg
        ]
        assert float(task.loss(both)) == pytest.approx(float(sum(alone) / 2), rel=1e-12)


@pytest.mark.slow
def test_only_the_input_branches_are_frozen(fine_tune, step_1, tmp_path):
    assert fine_tune(tmp_path)[0] == 0
    before, after = state(step_1), state(tmp_path / "checkpoints/last.ckpt")
    assert before.keys() == after.keys()
    inputs = {name for name in before if ".inputs." in name}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert inputs
    assert not changed & inputs
    # With four steps of four factors every path is walked; dead ReLUs may leave single tensors.
    assert len(changed) > 0.9 * len(before.keys() - inputs)
    assert {name.split(".")[2] for name in changed if ".outputs." in name} == set(ORDER)


def test_recomputation_saves_memory_and_changes_no_gradient():
    network, batch = tiny_network(), batch_of([("blur",), ("rain",)], dtype=torch.float32)
    task, grads, saved = RecurrentTask(network), [], []
    for checkpointing in (False, True):
        network.activation_checkpointing = checkpointing
        network.zero_grad()
        kept = {}

        def pack(tensor, kept=kept):
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = task.loss(batch)
        weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
        saved.append(sum(t.untyped_storage().nbytes() for pointer, t in kept.items() if pointer not in weights))
        loss.backward()
        grads.append([p.grad for p in network.parameters() if p.grad is not None])
    assert saved[1] < saved[0] / 3
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_the_former_name_of_activation_checkpointing(fine_tune, tmp_path):
    """Of earlier configs; the new name has the last word."""
    for words, chosen in (({"recompute": True}, True), ({}, None), ({"recompute": True} | NEW, False), (NEW, False)):
        assert RecurrentTask(tiny_network(), **words).activation_checkpointing is chosen
    code, _, err = fine_tune(tmp_path, "--model.recompute", "true", "--trainer.max_steps", 1)
    assert code == 0, err
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]["init_args"]["recompute"] is True


@pytest.mark.slow
def test_fit_test_predict_validate(fine_tune, restore, step_1, small_tests, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = fine_tune("run", "--model.order", "[haze, jpeg, rain, blur]", *small_tests)
    assert code == 0, err
    assert "starting from" in err
    for verb in ("validate", "predict", "test"):
        code, out, err = restore(verb, "--config", "run/config.yaml")
        assert code == 0, err
    for row in ("degraded", "MBN (factor told)", "MBN before step 2", "R-MBN (factor unknown)"):
        assert sum(line.startswith(row) for line in out.splitlines()) == 1, row
    assert "order of the passes: haze, jpeg, rain, blur" in out
    page = Path("run/report/index.html").read_text(encoding="utf-8")
    assert all(f"after {factor}" in page for factor in ("haze", "jpeg", "rain"))  # blur, the last, is the result
    report = json.loads(Path("run/scores.json").read_text())
    assert report["checkpoints"].keys() == report["methods"].keys() == {"told", "before", "restored"}
    assert report["checkpoints"]["told"] == report["checkpoints"]["before"] == str(step_1)
    sets = report["sets"]
    assert sets.keys() == {"rain", "blur", "jpeg", "haze"}
    assert all({"degraded", "told", "before", "restored"} < entry.keys() for entry in sets.values())
    assert len({sets["rain"][version]["psnr"] for version in ("degraded", "told", "before", "restored")}) == 4
    # The rows are what they say: step 1's own test, told the factor, gives the same numbers.
    words = ("--config", TINY, "--trainer.limit_test_batches", 1, "--trainer.default_root_dir", "told", *small_tests)
    assert restore("test", *words, "--ckpt_path", step_1)[0] == 0
    told = json.loads(Path("told/scores.json").read_text())["sets"]
    assert {name: entry["told"] for name, entry in sets.items()} == {n: entry["restored"] for n, entry in told.items()}


@pytest.mark.slow
def test_resuming_needs_no_start_and_ends_with_the_same_weights(fine_tune, tmp_path):
    assert fine_tune(tmp_path / "whole")[0] == 0
    assert fine_tune(tmp_path / "parts", "--trainer.max_steps", 2)[0] == 0
    code, _, err = fine_tune(tmp_path / "parts", "--ckpt_path", "last", "--model.init_from", "gone.ckpt")
    assert code == 0, err
    whole, parts = (state(tmp_path / run / "checkpoints/last.ckpt") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
def test_without_the_start_the_test_says_what_its_table_lacks(fine_tune, restore, small_tests, tmp_path):
    assert fine_tune(tmp_path, *small_tests)[0] == 0
    code, _, err = restore("test", "--config", tmp_path / "config.yaml", "--model.init_from", "gone.ckpt")
    assert code == 0, err
    assert "gone.ckpt: no such file or folder" in err
    assert "before" not in json.loads((tmp_path / "scores.json").read_text())["sets"]["rain"]


@pytest.mark.slow
def test_the_mixed_task_trains_on_scenes_and_on_a_set(fine_tune, restore, tmp_path):
    factors = ("--data.factors", "{mixed: {minibatches: 2, protocol: mbn-rgb}}", "--model.title", "R-MBN*")
    code, _, err = fine_tune(tmp_path / "scenes", *factors)
    assert code == 0, err
    words = ("--scenes", 4, "--size", 64, "--test", 2, "--val", 1)
    assert restore("mix", tmp_path / "mixed", *words)[0] == 0
    code, _, err = fine_tune(tmp_path / "set", *factors, "--data.root", tmp_path / "mixed")
    assert code == 0, err
    assert "training on the 1 images" in err
    baselines = yaml.safe_dump({"R-MBN": {"checkpoint": str(tmp_path / "set/checkpoints/last.ckpt")}})
    words = (
        "--config",
        tmp_path / "scenes/config.yaml",
        "--data.root",
        tmp_path / "mixed",
    )  # other data than trained on
    code, out, err = restore("test", *words, "--model.baselines", baselines)
    assert code == 0, err
    lines = out.splitlines()
    header = next(line for line in lines if line.startswith("set "))
    assert header.split()[1:7] == ["rain", "blur", "haze", "jpeg", "images", "degraded"]
    assert "R-MBN* (factor unknown)" in header
    subsets = [line.split()[:5] for line in lines[lines.index(header) + 1 :][:16]]
    assert subsets[0] == ["rain", "x", "-", "-", "-"]
    assert subsets[4] == ["rain+blur", "x", "x", "-", "-"]
    assert subsets[14] == ["rain+blur+haze+jpeg", "x", "x", "x", "x"]
    assert subsets[15] == ["random", "?", "?", "?", "?"]
    sets = json.loads((tmp_path / "scenes/scores.json").read_text())["sets"]
    assert len(sets) == 16
    assert all("R-MBN" in entry and entry["protocol"] == "mbn-rgb" for entry in sets.values())


@pytest.mark.slow
def test_baselines_are_cascades_and_oracles(fine_tune, restore, step_1, small_tests, tmp_path):
    """A cascade of the same network in every place is that network's walk."""
    assert fine_tune(tmp_path, *small_tests)[0] == 0
    baselines = {
        "cascade": {"checkpoint": dict.fromkeys(ORDER, str(step_1)), "order": ORDER},
        "dedicated": {"checkpoint": dict.fromkeys(ORDER, str(step_1))},
        "its own": {"checkpoint": str(tmp_path / "checkpoints/best.ckpt")},
    }
    code, out, err = restore(
        "test", "--config", tmp_path / "config.yaml", "--model.baselines", yaml.safe_dump(baselines)
    )
    assert code == 0, err
    assert any(line.startswith("cascade ") for line in out.splitlines())
    for entry in json.loads((tmp_path / "scores.json").read_text())["sets"].values():
        assert entry["cascade"] == entry["before"]
        assert entry["dedicated"] == entry["told"]
        assert entry["its own"] == entry["restored"]


def test_restore_in_order_is_one_pass_after_the_other():
    network = tiny_network().eval()
    torch.nn.init.normal_(network.outputs["haze"].last[0].weight, std=0.5)
    image = torch.rand(1, 3, 50, 70)
    with torch.no_grad():
        passes = restore_in_order(network, image, ["haze", "rain"])
        assert [p.shape for p in passes] == [image.shape] * 2
        assert all(0 <= p.min() <= p.max() <= 1 for p in passes)
        torch.testing.assert_close(passes[1], restore_in_order(network, passes[0], ["rain"])[0])


@pytest.mark.parametrize(
    "inference", [InferenceSettings(tile=48, overlap=16, local_statistics=32), InferenceSettings(self_ensemble=True)]
)
def test_tasks_restore_by_their_inference(inference, step_1):
    """And so do the rows of step 1's network, which a row of step 2 is compared with."""
    network = tiny_network().eval()
    for branch in network.outputs.values():
        torch.nn.init.normal_(branch.last[0].weight, std=0.1)
    image = torch.rand(1, 3, 70, 90)
    told = MultiBranchTask(network, inference=inference)
    walked = RecurrentTask(network, str(step_1), ORDER, inference=inference)
    with torch.no_grad():
        assert torch.equal(
            told.restorer().restore(image, ["haze", "rain"]),
            restore_in_order(network, image, ["rain", "haze"], inference)[-1],
        )
        restored = walked.restorer().restore(image, ["haze"])
        assert torch.equal(restored, restore_in_order(network, image, ORDER, inference)[-1])
        assert not torch.equal(restored, restore_in_order(network, image, ORDER)[-1])
    compared = walked.compared()
    assert {one.restorer.settings for one in compared.values()} == {inference}
    assert {one.origin for one in compared.values()} == {str(step_1)}
    plus = "+" * inference.self_ensemble
    titles = {name: one.title for name, one in compared.items()}
    assert titles == {"told": f"MBN{plus} (factor told)", "before": f"MBN{plus} before step 2"}
    assert walked.title == f"R-MBN{plus} (factor unknown)"


def test_inference_from_outside(restore, step_2, photos, tmp_path):
    """One key in the config, for every verb that restores; a baseline has its own."""
    (tmp_path / "clean").mkdir()
    Image.open(photos / "a.png").crop((0, 0, 90, 70)).save(tmp_path / "clean/a.png")
    small = f"{{small: {{clean: {tmp_path / 'clean'}, factor: rain}}}}"
    tiled = f"{{checkpoint: {step_2}, inference: {{tile: 48, overlap: 16}}}}"
    words = ("--ckpt_path", step_2, "--model.order", "[haze, jpeg, rain, blur]", "--trainer.default_root_dir", tmp_path)
    words = (*words, "--data.test_sets", small, "--data.val_sets", small, "--model.baselines")
    words = (*words, f"{{plain: {{checkpoint: {step_2}}}, tiles: {tiled}}}")
    tiles = ("--model.inference.tile", 48, "--model.inference.overlap", 16)
    for verb in ("validate", "predict", "test"):
        code, out, err = restore(verb, "--config", RECURRENT, *words, *tiles, "--model.inference.self_ensemble", "true")
        assert code == 0, err
    assert "R-MBN+ (factor unknown)" in out
    (entry,) = json.loads((tmp_path / "scores.json").read_text())["sets"].values()
    assert len({entry[row]["psnr"] for row in ("degraded", "plain", "tiles", "restored")}) == 4


WRONG = {
    "an unknown factor": (("--model.order", "[jpeg, haze, blur, fog]"), "unknown: fog; missing: rain"),
    "a repeated factor": (("--model.order", "[jpeg, haze, blur, rain, rain]"), "named twice: rain"),
    "a missing factor": (("--model.order", "[jpeg, haze, blur]"), "missing: rain. Name each of rain, blur, jpeg, haze"),
    "data that are skipped": (
        ("--model.order", "[jpeg, haze, blur]", "--model.skip", "[rain]"),
        "data.factors.rain has rain, which model.skip leaves out",
    ),
    "another width": (("--model.network.width", "4"), "is of another network than the config's: width is 4, was 2"),
    "another attention": (("--model.network.statistics", "[mean]"), "statistics is ['mean'], was ['mean', 'tv']"),
    "no start": (("--model.init_from", "null"), "recurrent fine-tuning starts from a trained multi-branch network"),
    "a start that is not there": (("--model.init_from", "no.ckpt"), "model.init_from no.ckpt: no such file"),
    "a crop that a later pass cannot take": (
        ("--data.factors.rain.crop_size", "40"),
        "crop_size 40 of factor 'rain': the network in the pass that removes jpeg takes multiples of 16",
    ),
    "a baseline's name that is taken": (("--model.baselines", "{before: {checkpoint: x.ckpt}}"), "'before' is taken"),
    "a tile that is too small": (
        ("--model.inference.tile", "16", "--model.inference.overlap", "0"),
        "tile 16: the network takes images from 32 pixels on",
    ),
    "an overlap that is the tile": (
        ("--model.inference.tile", "32", "--model.inference.overlap", "32"),
        "overlap 32: give 0 or more pixels, less than the tile's 32",
    ),
    "a set's entry as a baseline's name": (
        ("--model.baselines", "{data: {checkpoint: x.ckpt}}"),
        "'data' is taken",
    ),
    "a misspelt key": (("--model.ordre", "[rain]"), "'ordre' is not accepted"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(case, fine_tune, tmp_path):
    words, message = WRONG[case]
    code, _, err = fine_tune(tmp_path, *words)
    (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
    assert code == 2
    assert message in line
    assert "Traceback" not in err
    assert not list(tmp_path.glob("**/*.ckpt"))


def test_a_wrong_start_leaves_no_files(fine_tune, tmp_path):
    code, out, _ = fine_tune(tmp_path, "--model.init_from", "no.ckpt", "--trainer.logger", "true")
    assert code == 2
    assert "in-branch" not in out
    assert not list(tmp_path.iterdir())


def test_a_mixed_set_asked_of_photographs(fine_tune, photos, tmp_path):
    factors = ("--data.factors", "{mixed: {}}", "--data.root", photos)
    code, _, err = fine_tune(tmp_path, *factors)
    assert code == 2
    assert "mixes haze in, which needs depth" in err


@pytest.mark.slow
def test_a_run_does_not_go_on_in_another_order(fine_tune, tmp_path):
    assert fine_tune(tmp_path, "--trainer.max_steps", 2)[0] == 0
    code, _, err = fine_tune(tmp_path, "--ckpt_path", "last", "--model.order", "[rain, blur, jpeg, haze]")
    assert code == 2
    assert "fine-tuned in the order [jpeg, haze, blur, rain], now it is [rain, blur, jpeg, haze]" in err


@pytest.mark.slow
def test_the_start_may_know_fewer_settings(fine_tune, step_1, tmp_path):
    """A checkpoint of before a setting existed, and an empty mapping for none."""
    checkpoint = torch.load(step_1, weights_only=True)
    del checkpoint["network"]["init_args"]["released"]
    torch.save(checkpoint, tmp_path / "older.ckpt")
    words = ("--model.init_from", tmp_path / "older.ckpt", "--model.network.pairs", "{}")
    code, _, err = fine_tune(tmp_path / "run", *words, "--trainer.max_steps", 1)
    assert code == 0, err


def test_a_walk_that_skips_a_factor(fine_tune, restore, step_1, photos, tmp_path):
    factors = yaml.safe_dump({"haze": {}, "rain": {}})
    words = ("--model.order", "[haze, rain]", "--model.skip", "[jpeg, blur]", "--data.factors", factors)
    code, _, err = fine_tune(tmp_path / "run", *words)
    assert code == 0, err
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    for number, order in enumerate(((), ("--order", "haze,rain"), ("--order", "jpeg,rain,haze,blur"))):
        assert restore("apply", checkpoint, photos / "a.png", *order, "--output", tmp_path / str(number))[0] == 0
    code, _, err = restore("apply", checkpoint, photos / "a.png", "--order", "haze", "--output", tmp_path / "no")
    assert code == 2
    assert "missing: rain, blur, jpeg" in err


@pytest.mark.slow
def test_a_told_baseline_must_have_every_factor(fine_tune, restore, step_1, tmp_path):
    assert fine_tune(tmp_path, "--trainer.max_steps", 1)[0] == 0
    words = ("--config", tmp_path / "config.yaml", "--model.baselines")
    code, _, err = restore(
        "test", *words, yaml.safe_dump({"two": {"checkpoint": dict.fromkeys(("rain", "haze"), str(step_1))}})
    )
    assert code == 2
    assert "'two' is told the factors, and its network (haze, rain) has no blur" in err
    code, _, err = restore("test", *words, "{none: {checkpoint: {}}}")
    assert code == 2
    assert "baseline 'none': no checkpoint is named" in err


def test_a_checkpoint_of_step_1_is_nothing_to_go_on_with(fine_tune, step_1, tmp_path):
    code, _, err = fine_tune(tmp_path, "--ckpt_path", step_1)
    assert code == 2
    assert "give it as --model.init_from" in err


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"checkpoint": "no.ckpt"}, "no.ckpt: no such file"),
        ({"checkpoint": "STEP 1", "order": ["rain", "rain"]}, "named twice: rain"),
        (
            {"checkpoint": "STEP 1", "inference": {"tile": 16, "overlap": 0}},
            "baseline 'other': tile 16: the network takes",
        ),
        ({"checkpoint": {"fog": "STEP 1"}}, "is named for 'fog', its network has rain, blur, jpeg, haze"),
    ],
)
def test_wrong_baselines(baseline, message, fine_tune, restore, step_1, tmp_path):
    text = yaml.safe_dump({"other": baseline}).replace("STEP 1", str(step_1))
    words = ("--config", RECURRENT, "--ckpt_path", step_1, "--trainer.default_root_dir", tmp_path)
    code, _, err = restore("test", *words, "--model.baselines", text)
    assert code == 2
    assert message in err.splitlines()[-1]
