import json

import numpy as np
import pytest
import torch
from PIL import Image

from restore_lightning.callbacks.activation_maps import normalised
from restore_lightning.checkpoints import load_trained
from restore_lightning.io.images import read_image, to_float
from tests.conftest import CONF


@pytest.fixture
def run(restore, tmp_path):
    """A tiny DuRN-S-P and a folder of two photographs."""
    from skimage import data

    (tmp_path / "photos").mkdir()
    for name, image in (("a", data.chelsea()), ("b", data.coffee())):
        Image.fromarray(image[:60, :83]).save(tmp_path / "photos" / f"{name}.png")
    words = ("--model.network", "DuRN", "--model.network.preset", "S-P", "--model.network.width", 8)
    code, _, err = restore(
        "fit", "--config", CONF / "single.yaml", *words, "--trainer.default_root_dir", tmp_path / "run"
    )
    assert code == 0, err
    return tmp_path


def score_photos(restore, run, callback, *more):
    sets = json.dumps({"mine": {"clean": str(run / "photos")}})
    words = ("--data.test_sets", sets, "--trainer.callbacks", json.dumps([callback]))
    return restore("test", "--config", run / "run/config.yaml", *words, *more, "--trainer.limit_test_batches", "1.0")


def test_pictures_are_the_sums_over_channels(run, restore):
    code, out, err = score_photos(restore, run, {"class_path": "ActivationMaps"})
    assert code == 0, err
    titles = ["degraded", "l=0", "l=2", "l=4", "l=9", "attention", "residual", "restored"]
    assert f"maps-*.png: {' | '.join(titles)}" in out
    picture = read_image(run / "run/pictures/maps-mine-b.png")
    assert picture.shape == (3, 60, 83 * len(titles))
    columns = dict(zip(titles, picture.split(83, dim=2), strict=True))

    # The same maps by hand: the features at the padded size, summed, stretched, enlarged.
    network = load_trained(run / "run/checkpoints/best.ckpt").network
    seen = {}
    network.blocks[2].register_forward_hook(lambda module, given, output: seen.update(attention=output[0]))
    network.tanh.register_forward_hook(lambda module, given, output: seen.update(residual=output))
    from restore_lightning.inference import restore as restore_image

    with torch.no_grad():
        restored = restore_image(network, to_float(columns["degraded"])[None])
    assert (to_float(columns["restored"]) - restored[0]).abs().max() < 0.51 / 255
    for title, features in seen.items():
        total = features[0].sum(dim=0).numpy()
        stretched = ((total - total.min()) / (total.max() - total.min()) * 255).round().astype(np.uint8)
        enlarged = np.asarray(Image.fromarray(stretched).resize((84, 60), Image.Resampling.BICUBIC))[:, :83]
        assert np.array_equal(columns[title][0].numpy(), enlarged), title
    assert len(np.unique(columns["l=0"].numpy())) > 20  # not one gray


def test_layers_and_number_of_ones_choice(run, restore):
    chosen = {"layers": {"second": "blocks.1.f", "end": "back"}, "images": 1}
    code, out, err = score_photos(restore, run, {"class_path": "ActivationMaps", "init_args": chosen})
    assert code == 0, err
    assert "degraded | second | end | restored" in out
    assert [path.name for path in (run / "run/pictures").glob("maps-*")] == ["maps-mine-a.png"]


@pytest.mark.parametrize(
    ("network", "layers", "message"),
    [
        ("DuRN", {"x": "blocks.99"}, "ActivationMaps.layers 'x': the network has no module 'blocks.99'; it has front"),
        ("DRN", None, "DRN suggests no layers: give layers"),
    ],
)
def test_wrong_layers(network, layers, message, run, restore, tmp_path):
    if network == "DRN":
        words = ("--trainer.default_root_dir", tmp_path / "run", "--overwrite")
        assert restore("fit", "--config", CONF / "single.yaml", *words)[0] == 0
    code, _, err = score_photos(restore, run, {"class_path": "ActivationMaps", "init_args": {"layers": layers}})
    assert code == 2
    assert message in err


def test_tiles_have_no_maps_of_the_image(run, restore):
    code, _, err = score_photos(restore, run, {"class_path": "ActivationMaps"}, "--model.inference.tile", 96)
    assert code == 2
    assert "leave out model.inference.tile" in err


def test_constant_features_are_black():
    assert torch.equal(normalised(torch.full((1, 3, 4, 4), 7.0)), torch.zeros(1, 1, 4, 4))
