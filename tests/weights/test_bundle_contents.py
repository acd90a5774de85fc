"""What a bundle says of its weights: config.json and the model card."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from restore_lightning.commands.bundle import public
from restore_lightning.metrics import MeanScores
from restore_lightning.published import card
from restore_lightning.reports.scores_json import Method, RunScores, SetResult, write_scores
from restore_lightning.shipped_weights import shipped_networks
from restore_lightning.weights.card import card_text, told_text
from tests.published.test_load import SMALL, random_weights
from tests.weights.test_bundle import made


def scored(run, checkpoint, step):
    """A `scores.json` of a checkpoint in the folder of its run."""
    versions = {"degraded": MeanScores(20, 0.5), "restored": MeanScores(25.125, 0.75)}
    sets = {"a|b": SetResult("rain", "durn-y", 12, versions, "folder /home/me/sets")}
    settings = {"tile": 512, "overlap": 64, "self_ensemble": True, "local_statistics": None}
    write_scores(
        run / "scores.json", RunScores(sets, {"restored": Method("MBN", str(checkpoint), settings)}, step=step)
    )


def header_of(folder):
    _, header, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_card_and_the_config(restore, step_1, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(step_1, run / "checkpoints/last.ckpt")
    scored(run, run / "checkpoints/last.ckpt", 8)
    out = made(restore, run / "checkpoints/last.ckpt", tmp_path / "mine", "--licence", "Apache-2.0")
    header, body = header_of(tmp_path / "mine")
    assert header == {
        "license": "apache-2.0",
        "library_name": "restore-lightning",
        "pipeline_tag": "image-to-image",
        "tags": ["image-restoration", "blur", "haze", "jpeg", "rain"],
        "metrics": ["psnr", "ssim"],
    }
    sha256 = hashlib.sha256((tmp_path / "mine/model.safetensors").read_bytes()).hexdigest()
    assert sha256 in out
    assert sha256 in body
    assert (
        r"| a\|b | rain | durn-y | 12 | 20.00 / 0.5000 | 25.12 / 0.7500 | tile 512, overlap 64, self ensemble |" in body
    )
    assert "Procedural scenes" in body
    assert "optimiser steps: 8" in body
    config = json.loads((tmp_path / "mine/config.json").read_text())
    assert config["sha256"] == sha256
    assert config["network"]["class_path"] == "restore_lightning.networks.MBN"
    assert config["network"]["init_args"]["width"] == 2
    assert (config["factors"], config["order"], config["colour"]) == (["rain", "blur", "jpeg", "haze"], None, "rgb")
    assert config["data"]["minibatches"] == {"rain": 1, "blur": 1, "jpeg": 1, "haze": 1}
    assert config["scores"][0]["psnr"] == 25.125
    assert "/home" not in (tmp_path / "mine/config.json").read_text() + body


@pytest.mark.parametrize("name", shipped_networks())
def test_the_cards_of_shipped_networks(name):
    """Each is what `restore bundle` writes there; its command works as it stands."""
    folder = shipped_networks()[name]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card == card_text(config, name)
    assert f"restore apply {name} PHOTO" in card


def test_the_card_of_a_recurrent_network(restore, step_2, tmp_path):
    made(restore, step_2, tmp_path / "mine")
    _, body = header_of(tmp_path / "mine")
    assert body.startswith("\n# R-MBN: rain, blur, jpeg, haze\n")
    assert "restore apply FOLDER PHOTO --output restored" in body


def test_what_a_network_must_be_told():
    """One that has branches for one factor needs to be told none."""
    one, two = ["rain"], ["rain", "haze"]
    assert told_text({"factors": two, "told": True, "order": None}) == "told the factor: rain, haze"
    assert told_text({"factors": one, "told": True, "order": None}) == "told nothing: removes rain"
    assert told_text({"factors": two}) == "told nothing: removes rain, haze"
    recurrent = {"factors": two, "told": False, "order": ["haze", "rain"]}
    assert told_text(recurrent) == "told nothing: removes haze, rain in this order"


@pytest.mark.parametrize(("checkpoint", "step"), [("best.ckpt", 8), ("last.ckpt", 4)])
def test_scores_of_another_checkpoint_are_left_out(checkpoint, step, restore, step_1, tmp_path):
    shutil.copy(step_1, tmp_path / "last.ckpt")
    scored(tmp_path, Path("runs/x/checkpoints", checkpoint), step)
    out = made(restore, tmp_path / "last.ckpt", tmp_path / "mine")
    assert f"is of runs/x/checkpoints/{checkpoint} at step {step}, not of {tmp_path / 'last.ckpt'} at step 8" in out
    assert "None recorded" in header_of(tmp_path / "mine")[1]
    words = ("--scores", tmp_path / "scores.json", "--overwrite")
    code, _, err = restore("bundle", tmp_path / "last.ckpt", tmp_path / "mine", *words)
    assert code == 2
    assert "test this checkpoint" in err


def test_scores_of_another_run(restore, step_1, tmp_path):
    """Whose checkpoint has the same name, and took as many steps."""
    for run in ("mine", "other"):
        (tmp_path / run / "checkpoints").mkdir(parents=True)
        shutil.copy(step_1, tmp_path / run / "checkpoints/last.ckpt")
    ours, theirs = (tmp_path / run / "checkpoints/last.ckpt" for run in ("mine", "other"))
    scored(tmp_path / "other", theirs, 8)
    words = ("--scores", tmp_path / "other/scores.json")
    code, _, err = restore("bundle", ours, tmp_path / "bundle", *words)
    assert code == 2
    assert f"is of {theirs} at step 8, not of {ours} at step 8" in err
    theirs.unlink()  # it was moved, as far as anybody knows
    made(restore, ours, tmp_path / "bundle", *words)


def test_several_scores_and_notes(restore, step_1, tmp_path):
    """A bundle made from the bundle says them too."""
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        scored(tmp_path / run, step_1, 8)
    (tmp_path / "notes.md").write_text("## Limits\n\nNight.\n")
    words = ("--scores", tmp_path / "a/scores.json", tmp_path / "b/scores.json", "--notes", tmp_path / "notes.md")
    made(restore, step_1, tmp_path / "first", *words)
    made(restore, tmp_path / "first", tmp_path / "second")
    for folder in ("first", "second"):
        _, body = header_of(tmp_path / folder)
        assert body.count("| rain | durn-y | 12 |") == 2
        assert "## Limits\n\nNight.\n\n## Files" in body


def test_notes_that_are_not_there(restore, step_1, tmp_path):
    code, _, err = restore("bundle", step_1, tmp_path / "mine", "--notes", tmp_path / "none.md")
    assert code == 2
    assert "--notes" in err
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/home/me/sets/GoPro", "GoPro"),
        ("sets/GoPro", "sets/GoPro"),
        ("../GoPro", "GoPro"),
        (r"C:\Users\me\GoPro", "GoPro"),
        ("~/GoPro", "GoPro"),
        ("https://me:secret@host/sets/x?signature=y", "https://host/sets/x"),
        ("file:///home/me/GoPro", "GoPro"),
        ({"rain": [None, 1, "/a/b"]}, {"rain": [None, 1, "b"]}),
    ],
)
def test_what_is_published_says_nothing_of_the_machine(given, shown):
    assert public(given) == shown


def test_places_of_training_data_are_cut_where_they_are_relative(restore, step_1, tmp_path):
    checkpoint = torch.load(step_1, weights_only=True)
    checkpoint["RestorationData"] |= {
        "root": "of_me/customer/photographs",
        "folders": {"rain": ["of_me/a/rainy", "of_me/a/clean", None], "blur": [None, None, "https://host/sets/blur"]},
    }
    torch.save(checkpoint, tmp_path / "mine.ckpt")
    made(restore, tmp_path / "mine.ckpt", tmp_path / "mine")
    data = json.loads((tmp_path / "mine/config.json").read_text())["data"]
    assert data["root"] == "photographs"
    assert data["folders"] == {"rain": ["rainy", "clean", None], "blur": [None, None, "https://host/sets/blur"]}
    assert not any("of_me" in (tmp_path / "mine" / name).read_text() for name in ("config.json", "README.md"))


def test_the_licence_of_a_published_network(restore, tmp_path):
    save_file(random_weights("NAFNet", **SMALL["NAFNet"]), tmp_path / "their.safetensors")
    code, _, err = restore("convert", "NAFNet", tmp_path / "their.safetensors", tmp_path / "our.ckpt")
    assert code == 0, err
    made(restore, tmp_path / "our.ckpt", tmp_path / "mine")
    header, body = header_of(tmp_path / "mine")
    assert header["license"] == "mit"
    assert card("NAFNet")["trained_on"] in body
    assert card("NAFNet")["repository"] in body
    made(restore, tmp_path / "our.ckpt", tmp_path / "mine", "--overwrite", "--licence", "My own, for all")
    assert {"license": "other", "license_name": "my-own-for-all"}.items() <= header_of(tmp_path / "mine")[0].items()


@pytest.mark.parametrize(
    ("licence", "header"),
    [
        ("GPL-3.0", {"license": "gpl-3.0"}),
        ("proprietary", {"license": "other", "license_name": "proprietary"}),  # no identifier of the hub's
        ("Apache 2.0", {"license": "apache-2.0"}),
        ("openrail++", {"license": "openrail++"}),
        ("许可", {"license": "other", "license_name": "other"}),
        ("not stated", {"license": "unknown"}),
    ],
)
def test_licences_as_the_hub_spells_them(licence, header):
    config = {
        "network": {"class_path": "a.B"},
        "factors": [],
        "parameters": 1,
        "colour": "rgb",
        "bytes": 1,
        "sha256": "",
    }
    read = yaml.safe_load(card_text(config | {"licence": licence}).split("---\n")[1])
    assert {key: value for key, value in read.items() if key.startswith("license")} == header
