"""What `scores.json` says: today's files word by word, those of older versions, and what is none."""

import json
import math
import subprocess
import sys

import pytest

from restore_lightning.errors import UserError
from restore_lightning.metrics import MeanScores
from restore_lightning.reports.scores_json import (
    Method,
    RunScores,
    SetResult,
    mean_over_sets,
    read_all_scores,
    read_scores,
    write_scores,
)
from tests.paper_tables.test_comparison import content, entry, write

TODAY = """{
  "checkpoint": "r.ckpt",
  "checkpoints": {
    "told": "m.ckpt",
    "cascade": {
      "rain": "a.ckpt"
    },
    "before": null,
    "restored": "r.ckpt"
  },
  "weights": "averaged",
  "step": 2000,
  "network": {
    "class_path": "restore_lightning.networks.MBN",
    "init_args": {
      "width": 8
    }
  },
  "parameters": 1234,
  "inference": {
    "tile": null,
    "self_ensemble": true
  },
  "inferences": {
    "told": {
      "tile": null
    },
    "cascade": {
      "tile": 64
    },
    "before": {
      "tile": null
    },
    "restored": {
      "tile": null,
      "self_ensemble": true
    }
  },
  "order": [
    "jpeg",
    "rain"
  ],
  "methods": {
    "told": "MBN (factor told)",
    "cascade": "cascade",
    "before": "MBN (factor unknown, not fine-tuned)",
    "restored": "R-MBN+ (factor unknown)"
  },
  "sets": {
    "val/rain": {
      "factor": "rain",
      "protocol": "durn-y",
      "data": "photographs",
      "images": 3,
      "degraded": {
        "psnr": 20.5,
        "ssim": 0.5,
        "identical": 0
      },
      "told": {
        "psnr": 1e999,
        "ssim": 1.0,
        "identical": 3
      },
      "cascade": {
        "psnr": null,
        "ssim": null,
        "identical": 0
      },
      "before": {
        "psnr": 21.0,
        "ssim": 0.75,
        "identical": 1
      },
      "restored": {
        "psnr": 30.125,
        "ssim": 0.875,
        "identical": 0
      }
    }
  }
}
"""


def test_todays_file_is_read_and_written_word_by_word(tmp_path):
    write(tmp_path, TODAY)
    scores = read_scores(tmp_path / "scores.json")
    write_scores(tmp_path / "again.json", scores)
    assert (tmp_path / "again.json").read_text() == TODAY
    result = scores.sets["val/rain"]
    assert (result.factor, result.protocol, result.images, result.data) == ("rain", "durn-y", 3, "photographs")
    assert result.versions["told"] == MeanScores(math.inf, 1.0, 3)
    assert result.versions["restored"] == MeanScores(30.125, 0.875)
    assert not result.versions["cascade"].are_numbers
    assert scores.restored == Method("R-MBN+ (factor unknown)", "r.ckpt", {"tile": None, "self_ensemble": True})
    assert scores.methods["cascade"] == Method("cascade", {"rain": "a.ckpt"}, {"tile": 64})
    assert scores.methods["before"].checkpoint is None
    assert list(scores.titles) == ["degraded", "told", "cascade", "before", "restored"]
    network = {"class_path": "restore_lightning.networks.MBN", "init_args": {"width": 8}}
    assert (scores.network, scores.parameters, scores.order) == (network, 1234, ["jpeg", "rain"])
    assert (scores.weights, scores.step) == ("averaged", 2000)


def test_the_first_versions_files(tmp_path):
    """Neither methods nor a network; NaN as Python spells it."""
    write(
        tmp_path,
        '{"checkpoint": "b.ckpt", "sets": {"rain": {"factor": "rain", "protocol": "durn-y", "images": 2,'
        ' "degraded": {"psnr": NaN, "ssim": 0.5}, "restored": {"psnr": Infinity, "ssim": 1}}}}',
    )
    scores = read_scores(tmp_path / "scores.json")
    assert not scores.sets["rain"].versions["degraded"].are_numbers
    assert scores.methods == {"restored": Method("restored", "b.ckpt", None)}
    infinite = {"restored": MeanScores(math.inf, 1.0)}
    kept = {"rain": SetResult("rain", "durn-y", 2, {**scores.sets["rain"].versions, **infinite})}
    assert scores == RunScores(kept, scores.methods)


def test_scores_by_several_protocols(tmp_path):
    by = {"aio-rgb": (27.5, 0.75), "moce-rgb": (27.5, 0.5)}
    others = {name: {"restored": MeanScores(*scores)} for name, scores in by.items()}
    one = SetResult("rain", "durn-y", 3, {"restored": MeanScores(30.0, 0.875)}, "photographs", others)
    write_scores(tmp_path / "scores.json", RunScores({"rain": one}, {"restored": Method("DRN", "a.ckpt")}))
    entry = json.loads((tmp_path / "scores.json").read_text())["sets"]["rain"]
    assert (entry["protocol"], entry["restored"]["psnr"]) == ("durn-y", 30.0)  # as of one
    assert list(entry["protocols"]) == ["durn-y", "aio-rgb", "moce-rgb"]
    assert entry["protocols"]["durn-y"] == {"restored": entry["restored"]}
    assert entry["protocols"]["moce-rgb"] == {"restored": {"psnr": 27.5, "ssim": 0.5, "identical": 0}}
    assert read_scores(tmp_path / "scores.json").sets == {"rain": one}


def test_files_without_ways_of_the_methods(tmp_path):
    """There was one checkpoint and one way of use, the tested network's."""
    old = content({"Rain12": entry(told=(31.0, 0.9))}, methods={"told": "MBN", "restored": "R-MBN"})
    del old["checkpoints"]
    write(tmp_path, old)
    methods = read_scores(tmp_path / "scores.json").methods
    assert methods["restored"] == Method("R-MBN", "best.ckpt", old["inference"])
    assert methods["told"] == Method("MBN")


def test_scores_of_folders_are_passed_over(tmp_path):
    """`restore score --json scores.json` does not say what was scored."""
    write(tmp_path / "run", content({"Rain12": entry()}))
    write(tmp_path / "folders", {"protocol": "matlab-y", "images": [], "mean": {"psnr": 1.0, "ssim": 1.0}})
    runs, problems = read_all_scores(tmp_path)
    assert (len(runs), problems) == (1, [])


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ("[1]", 'it has no "sets"'),
        ("{}", 'it has no "sets"'),
        ('{"sets": 1}', 'it has no "sets"'),
        ('{"sets": {"Rain12": 1}}', "set 'Rain12' has no scores"),
        ({"sets": {"Rain12": entry() | {"factor": None}}}, "set 'Rain12' has no factor"),
        ({"sets": {"Rain12": entry() | {"images": None}}}, "set 'Rain12' has no images"),
        ({"sets": {"Rain12": entry() | {"images": True}}}, "set 'Rain12', images True: no whole number"),
        ({"sets": {"Rain12": entry() | {"data": ["a"]}}}, "set 'Rain12', data ['a']: no text"),
        ({"sets": {"Rain12": entry(restored=("high", 0.9))}}, "set 'Rain12', restored: no psnr and ssim"),
        ({"sets": {"Rain12": entry() | {"protocols": "aio-rgb"}}}, "set 'Rain12', protocols 'aio-rgb': no mapping"),
        ({"sets": {"Rain12": entry() | {"protocols": {"aio-rgb": 1}}}}, "set 'Rain12', aio-rgb 1: no mapping"),
        ({"sets": {"Rain12": entry()}, "network": "DRN"}, "network 'DRN': no mapping"),
        ({"sets": {"Rain12": entry()}, "network": {"init_args": "T"}}, "init_args 'T': no mapping"),
        ({"sets": {"Rain12": entry()}, "parameters": 1.5}, "parameters 1.5: no whole number"),
        ({"sets": {"Rain12": entry()}, "order": "rain"}, "order 'rain': no list"),
        (
            {"sets": {"Rain12": entry()}, "inferences": {"restored": "tiles"}},
            "inference of restored 'tiles': no mapping",
        ),
        ({"sets": {"Rain12": entry()}, "checkpoint": 5}, "checkpoint of restored 5: no text or mapping"),
    ],
)
def test_files_that_hold_no_scores(broken, problem, tmp_path):
    write(tmp_path / "good", content({"Rain12": entry()}))
    write(tmp_path / "deep/er/bad", broken)
    runs, problems = read_all_scores(tmp_path)
    assert list(runs) == [tmp_path / "good"]
    (line,) = problems
    assert line.startswith(f"{tmp_path / 'deep/er/bad/scores.json'} is no file of restore test: ")
    assert problem in line
    assert "\n" not in line


def test_a_file_of_folders_alone_is_refused(tmp_path):
    write(tmp_path, {"protocol": "matlab-y", "images": [], "mean": {"psnr": 1.0, "ssim": 1.0}})
    with pytest.raises(UserError, match=r"scores.json is of restore score, .*: name one of restore test"):
        read_scores(tmp_path / "scores.json")


def test_means_over_sets_leave_identical_ones_out():
    same = MeanScores(math.inf, 1.0, 5)
    assert mean_over_sets([MeanScores(20.0, 0.5, 2), same, MeanScores(30.0, 0.75)]) == MeanScores(25.0, 0.75, 1)
    assert mean_over_sets([same, same]) == MeanScores(math.inf, 1.0, 2)
    assert math.isnan(mean_over_sets([MeanScores(math.nan, 0.5), same]).psnr)


def test_gains_beside_infinite_ones_are_none():
    assert MeanScores(21.5, 1).gain_over(MeanScores(20.0, 1)) == 1.5
    assert math.isnan(MeanScores(math.inf, 1).gain_over(MeanScores(20.0, 1)))
    assert math.isnan(MeanScores(math.inf, 1).gain_over(MeanScores(math.inf, 1)))


def test_it_is_read_without_torch():
    check = "import sys, restore_lightning.reports.scores_json; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
