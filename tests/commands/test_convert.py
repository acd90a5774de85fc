"""`restore convert`: from the authors' weights to the paper's row."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.checkpoints import load_trained
from restore_lightning.published import NETWORKS, card, load_network
from tests.published.test_load import SMALL, random_weights


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_is_the_network(name, restore, tmp_path):
    small = {
        "DIN": {"D": 1, "B": 1, "M": 2, "growth": 2, "width": 4},
        "DuRN": {"width": 4},
        "DRN": {},
        "MBN": {},
    } | SMALL
    weights = random_weights(name, gain=0.05, **small[name.partition("_")[0]])
    torch.save({f"module.{key}": value for key, value in weights.items()}, tmp_path / "their.pth")
    code, out, err = restore("convert", name, tmp_path / "their.pth", tmp_path / "our.ckpt")
    assert code == 0, err
    for told in (card(name)["repository"], card(name)["licence"], card(name)["trained_on"]):
        assert told in out
    trained, network = load_trained(tmp_path / "our.ckpt"), load_network(name, weights)
    factors = card(name)["factor"]
    expected = (factors,) if isinstance(factors, str) else tuple(factors)
    assert trained.factors == (() if name == "MBN" else expected)
    image = torch.rand(1, network.info.channels, 64, 64)
    factor = () if trained.factors else ("blur",)
    with torch.no_grad():
        ours, theirs = (net(image, *factor) for net in (trained.network, network))
    assert torch.equal(ours[-1] if factor else ours, theirs[-1] if factor else theirs)


def test_hyperparameters_and_factor(restore, tmp_path, photos):
    torch.save(random_weights("DRN"), tmp_path / "their.pth")
    words = (tmp_path / "their.pth", tmp_path / "our.ckpt", "--hyperparameters", "T=2", "R=3", "--factor", "snow")
    code, out, err = restore("convert", "DRN", *words)
    assert code == 0, err
    trained = load_trained(tmp_path / "our.ckpt")
    assert (trained.network.T, trained.network.R, trained.factors) == (2, 3, ("snow",))
    assert "10,595 parameters, removes snow" in out
    code, _, err = restore("apply", tmp_path / "our.ckpt", photos / "a.png", "--output", tmp_path / "out")
    assert code == 0, err


def test_a_released_file_of_a_non_commercial_network(restore, tmp_path):
    """The container of PromptIR's release, and what the licence allows."""
    weights = random_weights("PromptIR", **SMALL["PromptIR"])
    released = {"state_dict": {f"net.{key}": value for key, value in weights.items()}, "epoch": 119}
    torch.save(released, tmp_path / "model.ckpt")
    code, out, err = restore("convert", "PromptIR", tmp_path / "model.ckpt", tmp_path / "our.ckpt")
    assert code == 0, err
    assert "removes noise, rain, haze" in out
    assert "licence: Academic Public License, non-commercial use only" in out


def test_convert_and_apply_give_what_the_network_gives(restore, tmp_path):
    """NAFNetLocal of width 8 on an image larger than its windows, whose sides are no multiples."""
    weights = random_weights("NAFNetLocal", gain=0.2, **SMALL["NAFNetLocal"])
    torch.save({"params": weights}, tmp_path / "their.pth")
    words = ("--hyperparameters", "train_size=32", "--factor", "blur")
    code, _, err = restore("convert", "NAFNetLocal", tmp_path / "their.pth", tmp_path / "our.ckpt", *words)
    assert code == 0, err
    photo = data.coffee()[:70, :83]
    Image.fromarray(photo).save(tmp_path / "a.png")
    code, _, err = restore("apply", tmp_path / "our.ckpt", tmp_path / "a.png", "--output", tmp_path / "out")
    assert code == 0, err
    network = load_network("NAFNetLocal", weights, {"train_size": 32})
    with torch.no_grad():
        output = network(torch.from_numpy(photo.copy()).movedim(-1, 0)[None] / 255)[0]
    expected = (output.clamp(0, 1) * 255).round().movedim(0, -1).numpy()
    found = np.asarray(Image.open(tmp_path / "out/a.png"))
    np.testing.assert_allclose(found, expected, atol=1)
    assert (np.abs(found.astype(int) - photo) > 3).mean() > 0.1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("DRM", "FILE", "x.ckpt"), 2, "unknown network 'DRM': choose one of MBN"),
        (("DuRN_U", "FILE", "x.ckpt"), 2, "these are not the released weights of DuRN_U"),
        (("DRN", "nowhere.pth", "x.ckpt"), 2, "nowhere.pth: no such file"),
        (("DRN", "BROKEN", "x.ckpt"), 1, "cannot be read"),
        (("DRN", "FILE", "FILE", "--overwrite"), 2, "it is the authors' file: name another one"),
        (("DRN", "FILE", "BROKEN"), 2, "exists already: give --overwrite"),
        (("DRN", "FILE", "FOLDER"), 2, "is no place for a file: name a file in it"),
        (("DRN", "FILE", "x.ckpt", "--hyperparameters", "T"), 2, "give NAME=NUMBER"),
        (("DRN", "FILE", "x.ckpt", "--hyperparameters", "T=seven"), 2, "give NAME=NUMBER"),
        (("DRN", "FILE", "x.ckpt", "--hyperparameters", "S=7"), 2, "give T, R only"),
    ],
)
def test_wrong_calls_of_convert(words, code, message, restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(random_weights("DRN"), tmp_path / "their.pth")
    (tmp_path / "broken.pth").write_bytes(b"no checkpoint")
    (tmp_path / "folder").mkdir()
    stands = {"FILE": "their.pth", "BROKEN": "broken.pth", "FOLDER": "folder"}
    before = (tmp_path / "their.pth").read_bytes()
    found, _, err = restore("convert", *(stands.get(word, word) for word in words))
    assert found == code
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "x.ckpt").exists()
    assert (tmp_path / "their.pth").read_bytes() == before


@pytest.mark.slow
def test_the_papers_row_on_rain12(shared, restore, tmp_path):
    """Paper 4, table 1: 36.15 / 0.960, from the released weights, on the real images; `restore test` of them is in
    tests/paper_tables/test_measured.py."""
    rain12 = shared / "data/Rain12"
    (tmp_path / "clean").mkdir()
    for path in (rain12 / "norain").glob("*.png"):
        shutil.copy(path, tmp_path / "clean" / path.name.removeprefix("no"))
    weights = shared / "golden/weights/DRN_Rain100L.pth"
    code, _, err = restore("convert", "DRN", weights, tmp_path / "drn.ckpt")
    assert code == 0, err
    code, _, err = restore("apply", tmp_path / "drn.ckpt", rain12 / "rain", "--output", tmp_path / "out")
    assert code == 0, err
    words = ("--protocol", "matlab-y", "--json", tmp_path / "scores.json")
    code, out, err = restore("score", tmp_path / "out", tmp_path / "clean", *words)
    assert code == 0, err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert len(scores["images"]) == 12
    assert scores["mean"]["psnr"] == pytest.approx(36.15, abs=0.02)
    assert scores["mean"]["ssim"] == pytest.approx(0.9605, abs=0.0005)
    assert "36.131 dB" in out  # rounded files; PROTOCOLS: 36.131


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("DuRN_P_no_norm", "durn_real_noise.yaml", ()),
        ("DuRN_S", "durn_rain.yaml", ()),
        ("DuRN_S_P", "durn_raindrop.yaml", ("--model.network.released", "true")),
        ("DRN", "drn_rain100h.yaml", ()),
    ],
)
def test_converted_weights_are_tested_by_the_shipped_configs(name, config, words, restore, tmp_path):
    torch.save(random_weights(name), tmp_path / "their.pth")
    assert restore("convert", name, tmp_path / "their.pth", tmp_path / "our.ckpt")[0] == 0
    (tmp_path / "clean").mkdir()
    Image.fromarray(data.coffee()[:32, :40]).save(tmp_path / "clean/a.png")
    sets = json.dumps({"mine": {"clean": str(tmp_path / "clean")}})
    run = ("--trainer.default_root_dir", tmp_path / "run", "--trainer.accelerator", "cpu")
    words = ("--ckpt_path", tmp_path / "our.ckpt", "--data.test_sets", sets, *run, *words)
    code, _, err = restore("test", "--config", config, *words)
    assert code == 0, err
    if name == "DuRN_S_P":
        code, _, err = restore("test", "--config", config, *words[:-2])
        assert code == 2
        assert "released is False, was True; give model.network the settings" in err
