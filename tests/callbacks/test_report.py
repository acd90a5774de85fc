"""What `restore test` leaves: the report page, scores per image, and the pictures in W&B."""

import csv
import json
import math
import re
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from restore_lightning.callbacks import report_page
from restore_lightning.callbacks.report_page import chosen_images
from restore_lightning.cli import main
from restore_lightning.reports.scores_json import read_scores, write_scores
from tests.conftest import CONF


def scored(**gains):
    """A set whose images gain this much over 20 dB."""
    return {
        int(name[1:]): {"degraded": {"psnr": 20.0}, "restored": {"psnr": 20.0 + gain}} for name, gain in gains.items()
    }


def test_the_worst_and_the_best_of_every_set_come_first():
    sets = {"rain": scored(i0=1, i1=-3, i2=5, i3=0), "haze": scored(i0=2, i1=4)}
    assert chosen_images(sets) == [
        ("rain", 1, "least gain"),
        ("haze", 0, "least gain"),
        ("rain", 2, "largest gain"),
        ("haze", 1, "largest gain"),
        ("rain", 3, "least gain"),
        ("rain", 0, "largest gain"),
    ]


def test_identical_images_have_no_gain():
    infinite = {"degraded": {"psnr": math.inf}, "restored": {"psnr": math.inf}}
    harmed = {"degraded": {"psnr": math.inf}, "restored": {"psnr": 40.0}}
    sets = {"rain": {**scored(i0=1, i1=-1), 2: infinite, 3: harmed}}
    assert [number for _, number, _ in chosen_images(sets)] == [3, 0, 1, 2]


def test_what_is_no_number_is_the_worst():
    gains = [11, 9, math.nan, 15, 0, 13, math.nan, 8, 14]
    chosen = chosen_images({"rain": scored(**{f"i{number}": gain for number, gain in enumerate(gains)})})
    assert [number for _, number, _ in chosen] == [2, 3, 6, 8, 4, 5, 7, 0]


@pytest.mark.parametrize(("sets", "each"), [(1, 8), (2, 8), (4, 4), (16, 2), (60, 2)])
def test_many_sets_show_fewer_images_each(sets, each):
    gains = {f"i{number}": number for number in range(20)}
    chosen = chosen_images({f"set {number}": scored(**gains) for number in range(sets)})
    assert len(chosen) == sets * each
    assert len(set(chosen)) == len(chosen)


def score_and_report(run, step_1, photos):
    """A run's folder after a test of its checkpoint on the images of two factors."""
    sets = {factor: {"factor": factor, "clean": str(photos)} for factor in ("rain", "jpeg")}
    words = ["--config", str(CONF / "tiny.yaml"), "--ckpt_path", str(step_1), "--data.test_sets", json.dumps(sets)]
    words += ["--trainer.limit_test_batches", "3", "--trainer.default_root_dir", str(run)]
    assert main(["test", *words, "--trainer.logger", "true"]) == 0  # W&B files are made by a fit with a logger only
    return run


@pytest.fixture(scope="module")
def tested(tmp_path_factory, step_1, photos):
    return score_and_report(tmp_path_factory.mktemp("tested") / "my <run>", step_1, photos)


def test_the_page_shows_every_chosen_image(tested):
    text = (tested / "report/index.html").read_text(encoding="utf-8")
    assert "my &lt;run&gt;" in text
    rows = list(csv.DictReader((tested / "scores.csv").open()))
    assert Counter(re.findall("<h3>(.+)</h3>", text.partition('id="distribution"')[0])) == Counter(
        row["image"] for row in rows if row["version"] == "restored"
    )
    assert len(text.encode()) < 10e6
    assert not re.search(r"""(src|href)=["']?https?:""", text)
    assert "least gain" in text
    assert "largest gain" in text


def test_pictures_of_large_sets_are_those_of_small_ones(tested, tmp_path, step_1, photos, monkeypatch):
    """Made while the image is tested, and by restoring it once more."""
    monkeypatch.setattr(report_page, "MOST", 2)
    once_more = (score_and_report(tmp_path, step_1, photos) / "report/index.html").read_text(encoding="utf-8")
    at_once = (tested / "report/index.html").read_text(encoding="utf-8")
    pictures, others = (set(re.findall(r"data:image[^\"']+", text)) for text in (once_more, at_once))
    assert len(others) > len(pictures) > 10
    assert pictures <= others


def test_scores_per_image_have_the_means(tested):
    rows = list(csv.DictReader((tested / "scores.csv").open()))
    sets = json.loads((tested / "scores.json").read_text())["sets"]
    for name, entry in sets.items():
        for version in ("degraded", "restored"):
            psnrs = [float(row["psnr"]) for row in rows if (row["set"], row["version"]) == (name, version)]
            assert len(psnrs) == entry["images"] == 3
            assert np.mean(psnrs) == pytest.approx(entry[version]["psnr"])


def test_the_scores_are_read_back_as_they_were_written(tested, tmp_path, step_1):
    written = tested / "scores.json"
    scores, said = read_scores(written), json.loads(written.read_text())
    write_scores(tmp_path / "again.json", scores)
    assert (tmp_path / "again.json").read_text() == written.read_text()
    assert scores.restored.checkpoint == said["checkpoint"] == str(step_1)
    assert scores.restored.inference == said["inferences"]["restored"]
    assert scores.network["class_path"].endswith(".MBN")
    assert scores.sets.keys() == said["sets"].keys()
    for name, result in scores.sets.items():
        assert {version: asdict(means) for version, means in result.versions.items()} == {
            version: said["sets"][name][version] for version in ("degraded", "restored")
        }


def test_no_wandb_run_no_wandb_files(tested):
    assert not (tested / "wandb").exists()
