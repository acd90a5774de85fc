"""The two-stage searches of paper 2."""

import math
import subprocess
import sys

import pytest
import yaml

from restore_lightning.architecture_search import (
    SEARCHES,
    Result,
    alignment_insertions,
    alignments,
    best_of,
    orders,
    show,
    stage_table,
)
from restore_lightning.errors import UserError
from restore_lightning.metrics import MeanScores
from restore_lightning.reports.scores_json import read_scores

TABLE_2 = ["blur -> haze -> rain", "blur -> rain -> haze", "haze -> blur -> rain", "haze -> rain -> blur",
           "rain -> blur -> haze", "rain -> haze -> blur"]  # fmt: skip


def test_candidates_of_table_2():
    assert [show(order) for order in orders(["blur", "haze", "rain"])] == TABLE_2
    inserted = SEARCHES["recurrent_order"].insert(["haze", "blur", "rain"], "jpeg")
    assert len(inserted) == 4
    assert ["jpeg", "haze", "blur", "rain"] in inserted


def test_candidates_of_tables_5_and_6():
    shown = [show(alignment) for alignment in alignments(["blur", "haze", "rain"])]
    assert sorted(shown[:6]) == TABLE_2
    assert set(shown[6:]) == {
        "[blur, haze] -> rain", "blur -> [haze, rain]", "[haze, rain] -> blur", "haze -> [blur, rain]",
        "[blur, rain] -> haze", "rain -> [blur, haze]", "[blur, haze, rain]",
    }  # fmt: skip
    assert len(shown) == 13
    assert [show(alignment) for alignment in alignment_insertions(["rain", "blur", "haze"], "jpeg")] == [
        "jpeg -> rain -> blur -> haze",
        "rain -> jpeg -> blur -> haze",
        "rain -> blur -> jpeg -> haze",
        "rain -> blur -> haze -> jpeg",
        "[rain, jpeg] -> blur -> haze",
        "rain -> [blur, jpeg] -> haze",
        "rain -> blur -> [haze, jpeg]",
    ]


def test_the_table_marks_the_best():
    table = stage_table(
        [Result(["haze", "rain"], MeanScores(30.1, 0.9)), Result([["haze", "rain"]], MeanScores(31.25, 0.91))]
    )
    assert table == "haze -> rain   30.10 / 0.9000\n[haze, rain]   31.25 / 0.9100  best"


def test_a_candidate_that_diverged_is_not_the_best():
    diverged, best = (Result([name], MeanScores(psnr, 0.7)) for name, psnr in (("haze", math.nan), ("rain", 23.4)))
    assert best_of([diverged, best]) == best
    assert "best" in stage_table([diverged, best]).splitlines()[1]
    with pytest.raises(UserError, match="no candidate has scores that are numbers"):
        best_of([diverged])


@pytest.fixture(scope="module")
def config(tmp_path_factory, photographs):
    """Three factors, a minimal network, two cycles, tests on small photographs."""
    network = {"class_path": "MBN", "init_args": {"design": "minimal", "width": 2, "stem": [[3, 3, 1]]}}
    network["init_args"]["hierarchy"] = ["noise", "jpeg", "rain"]
    off = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "limit_test_batches": 1}
    path = tmp_path_factory.mktemp("search") / "c.yaml"
    settings = {
        "trainer": {**off, "limit_val_batches": 0, "max_steps": 8},
        "model": {"class_path": "MultiBranchTask", "init_args": {"network": network}},
        "data": {"crop_size": 16, "batch_size": 1, "factors": {"noise": {}, "jpeg": {"minibatches": 2}, "rain": {}}},
    }
    sets = {name: {"clean": str(photographs), "factor": name} for name in settings["data"]["factors"]}
    settings["data"]["test_sets"] = {f"{name} photos": given for name, given in sets.items()}
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.slow
def test_output_hierarchy(config, restore, tmp_path):
    words = ("search", "output_hierarchy", "--config", config, "--first", "noise,jpeg", "--output", tmp_path)
    assert restore(*words, "--trainer.max_stepps", 4)[0] == 2  # a slip locks nothing
    words = (*words, "--trainer.max_steps", 9)
    code, out, err = restore(*words)
    assert code == 0, err
    runs = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(runs) in (3 + 5, 3 + 3)  # a stage of three, then insertions into two levels or one
    two = yaml.safe_load((tmp_path / "noise-jpeg/config.yaml").read_text())
    assert two["model"]["init_args"]["network"]["init_args"]["hierarchy"] == ["noise", "jpeg"]
    assert two["data"]["factors"].keys() == {"noise", "jpeg"}
    assert two["trainer"]["max_steps"] == 6  # as many cycles
    assert out.count("  best\n") >= 2
    assert "best: --model.network.hierarchy '[" in out
    # Again: nothing is trained anew, the same table.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/checkpoints/*")}
    code, again, _ = restore(*words)
    assert code == 0
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/checkpoints/*")} == before
    code, _, err = restore(*words, "--data.batch_size", 2)
    assert code == 2
    assert "holds a search with another command line" in err


@pytest.mark.slow
def test_recurrent_order(config, restore, tmp_path):
    assert restore("fit", "--config", config, "--trainer.default_root_dir", tmp_path / "mbn")[0] == 0
    settings = yaml.safe_load(config.read_text())
    settings["model"]["class_path"] = "RecurrentTask"
    settings["model"]["init_args"]["init_from"] = str(tmp_path / "mbn/checkpoints/last.ckpt")
    settings["model"]["init_args"]["baselines"] = {"other": {"checkpoint": "gone.ckpt"}}  # which candidates leave out
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(settings))
    words = ("--config", tmp_path / "r.yaml", "--first", "noise,rain", "--output", tmp_path / "out")
    code, out, err = restore("search", "recurrent_order", *words)
    assert code == 0, err
    first = [tmp_path / "out" / name for name in ("noise-rain", "rain-noise")]
    task = yaml.safe_load((first[0] / "config.yaml").read_text())["model"]["init_args"]
    assert (task["order"], task["skip"]) == (["noise", "rain"], ["jpeg"])
    runs = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert len(runs) == 2 + 3
    scored = {run.name: {name.split()[0] for name in read_scores(run / "scores.json").sets} for run in runs}
    assert scored == {name: set(name.split("-")) for name in scored}  # the sets of its factors
    lines = [line for line in out.splitlines() if " / 0." in line and " -> " in line and not line.startswith("[")]
    assert [line.count(" -> ") for line in lines] == [1, 1, 2, 2, 2]
    assert "best: --model.order '[" in out


@pytest.mark.slow
def test_runs_of_two_processes(config, tmp_path):
    """Rehearsal, fit and test of a candidate: each starts its own second process."""
    settings = yaml.safe_load(config.read_text())
    settings["data"]["factors"] = {"noise": {}}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(settings))
    words = ("--config", tmp_path / "two.yaml", "--first", "noise", "--output", tmp_path, "--trainer.max_steps", 1)
    words += ("--trainer.devices", 2, "--trainer.strategy", "ddp")
    command = [sys.executable, "-m", "restore_lightning", "search", "output_hierarchy", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "best: --model.network.hierarchy '[" in done.stdout
    assert [path.parent.name for path in tmp_path.glob("*/scores.json")] == ["noise"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("orders",), "invalid choice: 'orders'"),
        (
            ("output_hierarchy", "--first", "noise,fog"),
            "--first noise,fog: fog has no data; choose among",
        ),
        (("output_hierarchy", "--first", "noise,noise"), "a factor is named twice"),
        (("output_hierarchy", "--model.network.hierarchy", "[rain]"), "is not for the command line of a search"),
        (("recurrent_order", "--model.init_args.order=[rain]"), "is not for the command line of a search"),
        (("output_hierarchy", "--first", "noise,rain", "--trainer.max_steps", "3"), "is less than one cycle of 4"),
        (("output_hierarchy", "--first", "noise,rain", "--data.bach_size", "1"), "--data.bach_size"),
        (("output_hierarchy", "--config", "no.yaml"), "no.yaml: no such file"),
    ],
)
def test_wrong_calls(words, message, config, restore, tmp_path):
    given = () if "--config" in words else ("--config", config)
    code, _, err = restore("search", *words, *given, "--output", tmp_path)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "text", ["", "[1]", "trainer: {max_steps: 3}", "{trainer: {max_steps: 8}, model: MBN, data: {}}"]
)
def test_configs_that_cannot_be_searched_with(text, restore, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = restore("search", "output_hierarchy", "--config", tmp_path / "c.yaml", "--output", tmp_path / "out")
    assert code == 2
    assert (
        "is no config to search with: it must have trainer.max_steps, model.init_args.network and data.factors" in err
    )


def test_blocks_that_depend_on_the_hierarchy_are_refused(config, restore, tmp_path):
    settings = yaml.safe_load(config.read_text())
    settings["model"]["init_args"]["network"]["init_args"]["extra"] = [[3, 3, 1]]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    words = ("--config", tmp_path / "c.yaml", "--first", "noise,rain", "--output", tmp_path / "out")
    code, _, err = restore("search", "output_hierarchy", *words)
    assert code == 2
    assert "sets network.extra, which depends on the hierarchy" in err


def test_what_a_later_stage_would_be_refused_for_is_refused_first(config, restore, tmp_path):
    settings = yaml.safe_load(config.read_text())
    settings["data"]["factors"]["rain"] = {"protocol": "psnr"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    words = ("--config", tmp_path / "c.yaml", "--first", "noise,jpeg", "--output", tmp_path / "out")
    code, _, err = restore("search", "output_hierarchy", *words)
    assert code == 2
    assert "unknown protocol 'psnr'" in err
    assert not (tmp_path / "out").exists()
