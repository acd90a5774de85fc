"""`restore bundle`, and bundles wherever a verb takes a checkpoint."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

import restore_lightning
from restore_lightning.checkpoints import load_trained
from restore_lightning.commands.bundle import public
from restore_lightning.errors import UserError
from restore_lightning.metrics import MeanScores
from restore_lightning.network_specs import architecture_difference
from restore_lightning.published import card
from restore_lightning.reports.scores_json import Method, RunScores, SetResult, write_scores
from restore_lightning.weights.card import card_text
from tests.conftest import CONF
from tests.published.test_load import SMALL, random_weights
from tests.test_security import Evil


def made(restore, checkpoint, folder, *words):
    code, out, err = restore("bundle", checkpoint, folder, *words)
    assert code == 0, err
    return out


@pytest.fixture
def bundle(restore, step_2, tmp_path):
    """Of a recurrent network with an order of its own."""
    made(restore, step_2, tmp_path / "mine")
    return tmp_path / "mine"


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


def test_the_same_network_and_the_same_bytes(restore, bundle, step_2, tmp_path):
    ours, theirs = load_trained(bundle), load_trained(step_2)
    assert ours.order == theirs.order == ["haze", "jpeg", "rain", "blur"]
    assert architecture_difference(ours.spec, theirs.spec) is None
    for name, tensor in theirs.network.state_dict().items():
        assert torch.equal(tensor, ours.network.state_dict()[name])
    again = tmp_path / "again"
    made(restore, bundle, again)  # of a bundle too
    for path in bundle.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    tensors = load_file(bundle / "model.safetensors")
    assert set(tensors) == set(theirs.network.state_dict())


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


@pytest.mark.parametrize("held", ["README.md", "config.json"])
def test_files_that_are_of_no_bundle_are_not_overwritten(held, restore, step_1, tmp_path):
    (tmp_path / held).write_text('{"model_type": "gpt2"}')
    code, _, err = restore("bundle", step_1, tmp_path, "--overwrite")
    assert code == 2
    assert f"holds {held} without a config.json of restore bundle" in err
    assert [path.name for path in tmp_path.iterdir()] == [held]
    assert (tmp_path / held).read_text() == '{"model_type": "gpt2"}'


def test_nothing_is_overwritten(restore, bundle, step_1, step_2):
    (bundle / "model.safetensors").unlink()
    (bundle / "mine.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    code, _, err = restore("bundle", step_1, bundle)
    assert code == 2
    assert "holds config.json, README.md already: give --overwrite" in err
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    made(restore, step_1, bundle, "--overwrite")
    assert load_trained(bundle).order is None
    assert (bundle / "mine.txt").read_text() == "mine"
    assert len(list(bundle.iterdir())) == 4


def test_weights_that_are_not_finite(restore, step_1, tmp_path):
    checkpoint = torch.load(step_1, weights_only=True)
    next(iter(checkpoint["state_dict"].values())).fill_(float("nan"))
    torch.save(checkpoint, tmp_path / "nan.ckpt")
    code, _, err = restore("bundle", tmp_path / "nan.ckpt", tmp_path / "mine")
    assert code == 1
    assert "not finite" in err
    assert not (tmp_path / "mine").exists()


def rewritten(folder, **changes):
    """A bundle whose config says otherwise."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_model(folder, content):
    """A bundle with another file of weights, and the checksum of it."""
    (folder / "model.safetensors").write_bytes(content)
    rewritten(folder, sha256=hashlib.sha256(content).hexdigest())


def changed(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")


def without_a_tensor(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path)
    rewritten(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


DAMAGE = {
    "another file": (lambda f: changed(f / "model.safetensors"), r"model.safetensors is not the file .* sha256 is"),
    "cut short": (lambda f: with_model(f, (f / "model.safetensors").read_bytes()[:-9]), "cannot be read as safe"),
    "empty": (lambda f: with_model(f, b""), "cannot be read as safetensors"),
    "a header that promises too much": (lambda f: with_model(f, b"\xff" * 8 + b"{"), "cannot be read as safetensors"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "no config": (lambda f: (f / "config.json").unlink(), "a folder without config.json, which is no bundle"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read as JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "config.json is of another program"),
    "too deep": (lambda f: (f / "config.json").write_text("[" * 10**5), "config.json cannot be read as JSON"),
    "another program": (lambda f: rewritten(f, format=None), "of another program.*restore convert"),
    "a later version": (lambda f: rewritten(f, format="restore-lightning/9"), "of a later version"),
    "no checksum": (lambda f: rewritten(f, sha256=None), "stated is None"),
    "no network": (lambda f: rewritten(f, network=None), "does not say how its network was built"),
    "no class": (lambda f: rewritten(f, network={"class_path": "os.path"}), "which is no torch.nn.Module"),
    "odd arguments": (
        lambda f: rewritten(f, network={"class_path": "restore_lightning.networks.MBN", "init_args": {"width": "x"}}),
        "cannot be built again",
    ),
    "too large": (
        lambda f: rewritten(f, network={"class_path": "torch.nn.Linear", "init_args": dict.fromkeys(
            ("in_features", "out_features"), 2**40)}),
        "cannot be built again",
    ),
    "a tensor less": (without_a_tensor, "its weights do not fit its network: 1 missing"),
    "an odd order": (lambda f: rewritten(f, order=["snow"]), "is none of its network's factors"),
    "odd remarks": (
        lambda f: rewritten(f, step="x", data="y", licence=[2]),
        "damaged: step, data, licence is missing or of another kind",
    ),
    "odd scores": (lambda f: rewritten(f, scores=["x"]), "damaged: scores is"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_folder_that_is_damaged_or_foreign(kind, bundle):
    damage, told = DAMAGE[kind]
    damage(bundle)
    with pytest.raises(UserError, match=told) as error:
        load_trained(bundle)
    assert len(str(error.value)) < 700


def test_nothing_is_unpickled(bundle, tmp_path):
    marker = tmp_path / "ran"
    torch.save({"a": Evil(marker)}, tmp_path / "evil")
    with_model(bundle, (tmp_path / "evil").read_bytes())
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_trained(bundle)
    assert not marker.exists()


def test_names_that_there_are_not(restore, step_1, photographs, tmp_path):
    (tmp_path / "a.bin").write_text("abc")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/best.ckpt").touch()
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    told = {
        "nothing": "nothing: no such file or folder, and no network is shipped by name",
        tmp_path / "run": f"of a run, name a file: {tmp_path / 'run/checkpoints/best.ckpt'}",
        tmp_path / "a.safetensors": "restore convert NETWORK FILE OUT",
        tmp_path / "a.bin": "restore convert NETWORK FILE OUT",
    }
    for name, line in told.items():
        code, _, err = restore("apply", name, photographs, "--output", tmp_path / "out")
        assert code in (1, 2)
        assert line in err
        assert err.count("\n") == 1


def test_init_from_the_hub_is_of_no_step(restore, tmp_path):
    words = ("--trainer.default_root_dir", tmp_path / "run", "--model.init_from", "hub:nothing")
    code, _, err = restore("fit", "--config", CONF / "recurrent.yaml", *words)
    assert code == 2
    assert "model.init_from hub:nothing: give hub:owner/name" in err
    assert "step 1" not in err


def test_apply(restore, bundle, step_2, photographs, tmp_path):
    for name, weights in (("a", bundle), ("b", step_2)):
        assert restore("apply", weights, photographs, "--output", tmp_path / name)[0] == 0
    for path in (tmp_path / "a").iterdir():
        assert np.array_equal(Image.open(path), Image.open(tmp_path / "b" / path.name)), path


@pytest.mark.slow
def test_the_trainers_verbs(restore, bundle, step_2, photographs, tmp_path):
    sets = {"mine": {"clean": str(photographs), "factor": "rain"}}
    config = ("--config", CONF / "recurrent.yaml", "--data.test_sets", json.dumps(sets))
    order = ("--model.order", "[haze, jpeg, rain, blur]")
    found = {}
    for name, weights in (("bundle", bundle), ("file", step_2)):
        words = ("--trainer.default_root_dir", tmp_path / name, "--ckpt_path", weights, *order)
        words = (*words, "--model.init_from", weights)
        code, _, err = restore("test", *config, *words, "--model.baselines", f"{{other: {{checkpoint: {weights}}}}}")
        assert code == 0, err
        found[name] = json.loads((tmp_path / name / "scores.json").read_text())
    assert found["bundle"]["sets"] == found["file"]["sets"]
    assert found["bundle"]["checkpoints"] == dict.fromkeys(("restored", "told", "before", "other"), str(bundle))
    assert found["bundle"]["step"] == found["file"]["step"] == 4
    run = ("--trainer.default_root_dir", tmp_path / "new", "--model.init_from", bundle, "--trainer.max_steps", 1)
    code, _, err = restore("fit", "--config", CONF / "recurrent.yaml", *run, *order)
    assert code == 0, err
    run = (*run[:1], tmp_path / "newer", *run[2:])
    code, _, err = restore("fit", "--config", CONF / "recurrent.yaml", *run, *order, "--ckpt_path", bundle)
    assert code == 2
    assert "without a state of training (restore convert or bundle wrote it?)" in err


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
        ("Apache 2.0", {"license": "other", "license_name": "apache-2.0"}),
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


@pytest.mark.slow
def test_networks_that_are_shipped(bundle, photographs, tmp_path):
    """A copy of the package with two more folders."""
    package = tmp_path / "copy/restore_lightning"
    shutil.copytree(Path(restore_lightning.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(__file__).parents[2] / "configs", package / "configs")
    shutil.copytree(bundle, package / "shipped_weights/r_mbn_small")
    shutil.copytree(bundle, package / "shipped_weights/other")

    def command(*words):
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "copy"), "HF_HOME": str(tmp_path)}
        line = [sys.executable, "-m", "restore_lightning", *map(str, words)]
        return subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    listed = command("weights")
    assert listed.returncode == 0, listed.stderr
    assert "  r_mbn_small\n    removes rain, blur, jpeg, haze; 25,411 parameters, 0.1 MB; licence: not stated" in (
        listed.stdout
    )
    done = command("apply", "r_mbn_small", photographs, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
    wrong = command("apply", "r_mbn_smal", photographs, "--output", tmp_path / "new")
    assert wrong.returncode == 2
    assert "no shipped network of this name (there are other, r_mbn_small; the nearest is r_mbn_small)" in wrong.stderr


def test_none_is_shipped_yet(restore):
    code, out, _ = restore("weights")
    assert code == 0
    assert out.startswith("no network is shipped with this version: train one (restore fit), convert")
