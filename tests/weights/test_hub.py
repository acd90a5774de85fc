"""Bundles on the hub, through the real huggingface_hub and a server that answers as the hub does."""

import json
import shutil
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from restore_lightning.metrics import MeanScores
from restore_lightning.reports.scores_json import Method, RunScores, SetResult, write_scores
from tests.conftest import CONF
from tests.weights.hub_server import TOKEN


@pytest.fixture(scope="module")
def bundle(step_1, tmp_path_factory):
    from restore_lightning.cli import main

    folder = tmp_path_factory.mktemp("bundle") / "mine"
    assert main(["bundle", str(step_1), str(folder), "--licence", "MIT"]) == 0
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pixels(folder):
    return {path.name: np.asarray(Image.open(path)) for path in folder.iterdir()}


@pytest.mark.slow
def test_pushed_fetched_and_kept(hub, commands, bundle, photographs, tmp_path):
    def apply(name, out):
        return ("apply", name, photographs, "--factor", "rain", "--output", tmp_path / out)

    pushed, again, replaced, local, fetched, listed = commands(
        ("push", bundle, "hub:me/net"),
        ("push", bundle, "hub:me/net"),
        ("push", bundle, "hub:me/net", "--overwrite"),
        apply(bundle, "local"),
        apply("hub:me/net", "fetched"),
        ("weights",),
        HF_TOKEN=TOKEN,
    )
    assert pushed[0] == 0, pushed
    assert hub.files("me/net", "main")[1] == contents(bundle)
    assert f"uploaded: hub:me/net@{hub.oid('me/net', 0)}" in pushed[1]
    assert again[0] == 2
    assert "holds model.safetensors, config.json, README.md already: give --overwrite" in again[2]
    assert replaced[0] == 0, replaced
    name = f"hub:me/net@{hub.oid('me/net', 1)}"
    assert (local[0], fetched[0]) == (0, 0), fetched
    assert f"weights: {name}\n" in fetched[2]
    ours, theirs = pixels(tmp_path / "local"), pixels(tmp_path / "fetched")
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[one], theirs[one]) for one in ours)
    assert name in listed[1]
    assert "licence: MIT" in listed[1]
    assert any("restore-lightning/" in agent for _, _, agent, _ in hub.requests)
    saved = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in saved)

    # From now on without the network: by its name, and by its commit.
    asked = len(hub.requests)
    other, branch, commit = commands(
        apply("hub:me/other", "x"), apply("hub:me/net", "branch"), apply(name, "commit"), HF_HUB_OFFLINE="1"
    )
    assert (branch[0], commit[0]) == (0, 0), branch + commit
    assert name in branch[2]
    assert len(hub.requests) == asked
    assert other[0] == 1
    assert "hub:me/other: it is not cached, and the hub cannot be reached" in other[2]
    # A commit that is cached is not asked for again.
    known, wrong = commands(apply(name, "known"), ("push", bundle, "hub:me/mine"), HF_TOKEN="hf_wrong")
    assert known[0] == 0
    assert not any("/me/net/" in path for _, path, _, _ in hub.requests[asked:])
    assert wrong[0] == 1
    assert len([line for line in wrong[2].splitlines() if line.startswith("restore ")]) == 1
    assert "hf_wrong" not in wrong[1] + wrong[2]


@pytest.mark.slow
def test_what_a_run_says_of_its_weights_names_the_commit(hub, commands, bundle, photographs, tmp_path):
    oid = hub.commit("me/trained", contents(bundle))
    name = f"hub:me/trained@{oid}"
    fit, test = commands(
        ("fit", "--config", CONF / "recurrent.yaml", "--model.init_from", "hub:me/trained",
         "--trainer.default_root_dir", tmp_path / "run", "--trainer.max_steps", 1, "--trainer.limit_val_batches", 0),
        ("test", "--config", CONF / "tiny.yaml", "--ckpt_path", "hub:me/trained", "--trainer.default_root_dir",
         tmp_path / "test", "--model.baselines", "{other: {checkpoint: hub:me/trained}}",
         "--data.test_sets", json.dumps({"mine": {"clean": str(photographs), "factor": "rain"}})),
    )  # fmt: skip
    assert fit[0] == 0, fit
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert config["model"]["init_args"]["init_from"] == name
    assert test[0] == 0, test
    scores = json.loads((tmp_path / "test/scores.json").read_text())
    assert scores["checkpoints"] == {"restored": name, "other": name}


@pytest.mark.slow
def test_what_a_push_checks_before_there_is_a_repository(hub, commands, bundle, tmp_path):
    """And that what shall be private is not uploaded to where everybody sees it."""
    hub.commit("me/public", {"notes.txt": b""})
    odd, cut = (shutil.copytree(bundle, tmp_path / name) for name in ("odd", "cut"))
    (odd / "README.md").write_text((odd / "README.md").read_text().replace("license: mit", "license: nobodys"))
    (cut / "README.md").unlink()
    public, private, wrong, short = commands(
        ("push", bundle, "hub:me/public", "--private"),
        ("push", bundle, "hub:me/private", "--private"),
        ("push", odd, "hub:me/odd"),
        ("push", cut, "hub:me/cut"),
        HF_TOKEN=TOKEN,
    )
    assert public[0] == 2, public
    assert "hub:me/public is public: leave --private out" in public[2]
    assert hub.files("me/public", "main")[1] == {"notes.txt": b""}
    assert private[0] == 0, private
    assert "me/private" in hub.private
    assert wrong[0] == 2, wrong
    assert "README.md: the hub does not take its header" in wrong[2]
    assert '"license' in wrong[2].replace("\\", "")
    assert short[0] == 2, short
    assert "lacks README.md of a bundle" in short[2]
    assert not {"me/odd", "me/cut"} & set(hub.commits)


@pytest.mark.slow
def test_scores_of_a_bundle_on_the_hub_and_bundles_that_cannot_be_read(hub, commands, bundle, tmp_path):
    name = f"hub:me/scored@{hub.commit('me/scored', contents(bundle))}"
    for file, tested in {"right": name, "wrong": name[:-1]}.items():
        versions = {"restored": MeanScores(25.0, 0.75)}
        scores = RunScores({"a": SetResult("rain", "durn-y", 1, versions)}, {"restored": Method("MBN", tested)}, step=8)
        write_scores(tmp_path / f"{file}.json", scores)
    right, wrong, listed = commands(
        ("bundle", "hub:me/scored", tmp_path / "right", "--scores", tmp_path / "right.json"),
        ("bundle", "hub:me/scored", tmp_path / "wrong", "--scores", tmp_path / "wrong.json"),
        ("weights",),
    )
    assert right[0] == 0, right
    assert json.loads((tmp_path / "right/config.json").read_text())["scores"][0]["psnr"] == 25.0
    assert wrong[0] == 2
    assert f"is of {name[:-1]} at step 8, not of {name} at step 8" in wrong[2]
    assert listed[0] == 0, listed
    # One of a later version, and one of another program, which is none of ours to list.
    (config,) = (tmp_path / "hf").rglob("config.json")
    later = config.parents[1] / ("0" * 40)
    other = config.parents[1] / ("1" * 40)
    for folder, made in ((later, "restore-lightning/9"), (other, "gpt2")):
        shutil.copytree(config.parent, folder)
        (folder / "config.json").write_text(json.dumps({"format": made}))
    (listed,) = commands(("weights",))
    assert listed[0] == 1, listed
    told = listed[1].splitlines()
    assert "is of a later version (restore-lightning/9)" in told[told.index(f"  hub:me/scored@{'0' * 40}") + 1]
    assert f"  {name}" in told
    assert "1" * 40 not in listed[1]


@pytest.mark.slow
def test_what_is_refused(hub, commands, bundle, photographs, tmp_path):
    files = contents(bundle)
    config = json.loads(files["config.json"])
    hub.commit("me/good", files)
    hub.commit("me/cards", {"README.md": b"# nothing"})
    hub.commit("me/llm", {"config.json": b'{"model_type": "gpt2"}', "model.safetensors": b"x" * 100})
    hub.commit("me/changed", files | {"model.safetensors": files["model.safetensors"][:-1] + b"\x00"})
    other = json.dumps(config | {"network": {"class_path": "torch.nn.Linear", "init_args": {}}})
    hub.commit("me/code", files | {"config.json": other.encode()})
    hub.commit("me/gated", files)
    hub.gated.add("me/gated")
    hub.commit("me/forbidden", files)
    hub.refused["me/forbidden"] = 403  # of others, as 429, huggingface_hub asks again for some seconds
    (tmp_path / "empty").mkdir()
    cases = {
        ("apply", "hub:me/nothing"): "hub:me/nothing: no such repository",
        ("apply", "hub:me/good@v9"): "hub:me/good@v9: no such branch, tag or commit",
        ("apply", "hub:me/gated"): "hub:me/gated: its owner asks for consent",
        ("apply", "hub:me/forbidden"): "hub:me/forbidden: the hub answers 403 Forbidden; see what the token may do",
        ("apply", "hub:me/cards"): "it holds no config.json",
        ("apply", "hub:me/llm"): "hub:me/llm is no bundle of ours",
        ("apply", "hub:me/changed"): f"stated is {config['sha256']}; fetch the bundle again; of the hub's cache remove "
        f"{tmp_path / 'hf/hub/models--me--changed'} first",
        ("apply", "hub:me/code"): "of the network torch.nn.Linear",
        ("apply", "hub:good"): "hub:good: give hub:owner/name",
        ("apply", "hub:me/../good"): "give hub:owner/name",
        ("push", bundle, "hub:me/mine"): "needs a token to write: set HF_TOKEN",
        ("push", bundle, "hub:me/mine@v1"): "leave @v1 out",
        ("push", bundle, "me/mine"): "give hub:owner/name",
        ("push", tmp_path / "empty", "hub:me/mine"): "a folder without config.json",
        ("push", "mbn-small", "hub:me/mine"): "FOLDER mbn-small: no such folder; restore bundle WEIGHTS FOLDER makes",
    }
    rest = (photographs, "--factor", "rain", "--output", tmp_path / "out")
    lines = [(*case, *rest) if case[0] == "apply" else case for case in cases]
    for (case, told), (code, _, err) in zip(cases.items(), commands(*lines), strict=True):
        assert code in (1, 2), case
        (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
        assert told in line, (case, err)
        assert "Traceback" not in err
    assert not any("me/llm/resolve" in path and "safetensors" in path for _, path, _, _ in hub.requests)
    assert "me/mine" not in hub.commits
    assert not (tmp_path / "out").exists()


def test_without_the_extra(restore, monkeypatch, bundle, photographs, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for words in (("apply", "hub:me/net", photographs, "--output", tmp_path / "out"), ("push", bundle, "hub:me/net")):
        code, _, err = restore(*words)
        assert code == 2
        assert "hub:me/net needs huggingface_hub: pip install 'restore-lightning[hub]'" in err
    assert restore("weights")[0] == 0
