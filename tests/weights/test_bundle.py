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
from PIL import Image
from safetensors.torch import load_file, save_file

import restore_lightning
from restore_lightning.checkpoints import load_trained, read_initial_checkpoint
from restore_lightning.errors import UserError
from restore_lightning.network_specs import architecture_difference
from tests.conftest import CONF
from tests.test_security import Evil

MASKED = """
import torch
from torch import nn

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tensor([float("-inf"), 0]))

    def forward(self, image):
        return image
"""


@pytest.fixture
def odd_masked(tmp_path, monkeypatch):
    """Of a network whose mask holds infinity."""
    (tmp_path / "odd_masked.py").write_text(MASKED)
    monkeypatch.syspath_prepend(tmp_path)
    state = {"network.mask": torch.tensor([float("-inf"), 0])}
    spec = {"class_path": "odd_masked.Masked", "init_args": {}}
    torch.save({"network": spec, "order": None, "factors": ["rain"], "state_dict": state}, tmp_path / "masked.ckpt")
    return tmp_path / "masked.ckpt"


def made(restore, checkpoint, folder, *words):
    code, out, err = restore("bundle", checkpoint, folder, *words)
    assert code == 0, err
    return out


@pytest.fixture
def bundle(restore, step_2, tmp_path):
    """Of a recurrent network with an order of its own."""
    made(restore, step_2, tmp_path / "mine")
    return tmp_path / "mine"


def test_half_the_size(restore, step_2, tmp_path):
    """Weights of 16 bits are computed with in 32."""
    for name, words in (("whole", ()), ("half", ("--half",))):
        made(restore, step_2, tmp_path / name, *words)
    sizes = {name: (tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")}
    assert sizes["half"] < 0.7 * sizes["whole"]
    ours, theirs = (load_trained(tmp_path / name).network.state_dict() for name in ("half", "whole"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        torch.testing.assert_close(tensor, theirs[name], rtol=2**-11, atol=2**-25)


def test_weights_that_16_bits_do_not_reach(restore, step_2, tmp_path):
    made(restore, step_2, tmp_path / "mine")
    tensors = load_file(tmp_path / "mine/model.safetensors")
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], 1e5)
    save_file(tensors, tmp_path / "mine/model.safetensors")
    config = json.loads((tmp_path / "mine/config.json").read_text())
    config["sha256"] = hashlib.sha256((tmp_path / "mine/model.safetensors").read_bytes()).hexdigest()
    (tmp_path / "mine/config.json").write_text(json.dumps(config))
    code, _, err = restore("bundle", tmp_path / "mine", tmp_path / "half", "--half")
    assert code == 2
    assert f"--half: {name} holds values beyond 65504" in err


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
    assert len({path.stat().st_mode for path in bundle.iterdir()}) == 1  # whoever may read one may read all


def test_infinite_masks_are_no_matter_of_16_bits(restore, odd_masked, tmp_path):
    made(restore, odd_masked, tmp_path / "half", "--half")
    assert load_trained(tmp_path / "half").network.mask.tolist() == [float("-inf"), 0]


def test_the_command_that_it_names_can_be_pasted(restore, step_1, tmp_path):
    out = made(restore, step_1, tmp_path / "my bundle")
    assert f"next: restore apply '{tmp_path / 'my bundle'}' PHOTO --factor rain --output DIR" in out


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
    "an order of lists": (lambda f: rewritten(f, order=[["rain"]]), "damaged: order is"),
    "an order that is no list": (lambda f: rewritten(f, order=5), "damaged: order is"),
    "factors that are no list": (lambda f: rewritten(f, factors=5), "damaged: factors is"),
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
    (tmp_path / "run/checkpoints/last.ckpt").touch()
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    told = {
        "nothing": "nothing: no such file or folder, and no shipped network of this name (there are mbn-small,"
        " r-mbn-small)",
        tmp_path / "run": f"of a run, name a file: {tmp_path / 'run/checkpoints/last.ckpt'}",
        tmp_path / "run/checkpoints/best.ckpt": "last.ckpt is where it stands",
        tmp_path / "a.safetensors": "restore convert NETWORK FILE OUT",
        tmp_path / "a.bin": "restore convert NETWORK FILE OUT",
    }
    for name, line in told.items():
        code, _, err = restore("apply", name, photographs, "--output", tmp_path / "out")
        assert code in (1, 2)
        assert line in err
        assert err.count("\n") == 1


def test_weights_from_the_hub_are_of_no_step():
    with pytest.raises(UserError, match=r"^model.init_from hub:nothing: give [^;]*$"):
        read_initial_checkpoint("hub:nothing", torch.nn.Identity(), None)


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
    described = "    told nothing: removes haze, jpeg, rain, blur in this order; 25,411 parameters, 0.1 MB; licence: "
    assert f"  r_mbn_small\n{described}not stated\n" in listed.stdout
    done = command("apply", "r_mbn_small", photographs, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
    wrong = command("apply", "r_mbn_smal", photographs, "--output", tmp_path / "new")
    assert wrong.returncode == 2
    names = "mbn-small, other, r-mbn-small, r_mbn_small"
    assert f"no shipped network of this name (there are {names}); did you mean r_mbn_small?\n" in wrong.stderr
    done = command("bundle", "other", package / "shipped_weights/third")
    assert done.returncode == 0, done.stderr
    assert "restore apply third PHOTO --output" in (package / "shipped_weights/third/README.md").read_text()


def test_what_each_shipped_network_must_be_told(restore):
    code, out, _ = restore("weights")
    assert code == 0
    assert "  mbn-small\n    told the factor: rain, blur, jpeg, haze; 817,662 parameters, 1.7 MB; " in out
    assert "  r-mbn-small\n    told nothing: removes jpeg, haze, blur, rain in this order; 795,966 parameters, " in out


def test_where_none_is_shipped(restore, monkeypatch):
    monkeypatch.setattr("restore_lightning.commands.weights.shipped_networks", dict)
    code, out, _ = restore("weights")
    assert code == 0
    assert out.startswith("no network is shipped with this version: train one (restore fit), convert")
