"""Networks of the package spandrel, with its own call as the reference."""

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from restore_lightning.checkpoints import load_trained
from restore_lightning.errors import UserError
from restore_lightning.inference import Baseline, InferenceSettings, Restorer, read_baseline
from restore_lightning.io.images import read_image, to_float, to_uint8
from restore_lightning.networks import network_info
from tests.conftest import CONF, fitted, missing

OWN_FOLDER = Path(sys.prefix, "spandrel")
"""Where make test installs it, with torchvision, which breaks other packages where its compiled part does not fit."""
OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
"""Of torchvision's compiled part, those without which it cannot be imported; spandrel uses none."""


@pytest.fixture(scope="session")
def spandrel():
    """The package; without torchvision's compiled part where that was built for another torch."""
    try:
        return importlib.import_module("spandrel")
    except ImportError:
        if not (OWN_FOLDER / "spandrel").is_dir():
            missing(f"spandrel (make test installs it in {OWN_FOLDER})")
    sys.path.append(str(OWN_FOLDER))
    try:
        return importlib.import_module("spandrel")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("spandrel", "torchvision")]:
            del sys.modules[name]
        for name, schema in OPERATORS.items():
            torch.library.define(f"torchvision::{name}", schema)
        return importlib.import_module("spandrel")


def architectures():
    """Name -> a small network of an architecture of spandrel: super-resolution, restoration, a square rule, gray."""
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.DRUNet import DRUNet
    from spandrel.architectures.ESRGAN import ESRGAN
    from spandrel.architectures.NAFNet import NAFNet
    from spandrel.architectures.SwinIR import SwinIR
    from spandrel.architectures.Uformer import Uformer

    return {
        "Compact": lambda: Compact(num_feat=8, num_conv=2, upscale=2),
        "ESRGAN": lambda: ESRGAN(num_filters=8, num_blocks=1, scale=4),
        "DRUNet": lambda: DRUNet(in_nc=2, out_nc=1, nc=[8, 16, 16, 16], nb=2),
        "NAFNet": lambda: NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]),
        "SwinIR": lambda: SwinIR(
            embed_dim=12, depths=[2, 2], num_heads=[2, 2], window_size=8, mlp_ratio=2, upscale=1, upsampler=""
        ),
        "Uformer": lambda: Uformer(embed_dim=4, depths=[1] * 9, num_heads=[1] * 9),
    }


NAMES = ("Compact", "ESRGAN", "DRUNet", "NAFNet", "SwinIR", "Uformer")


@pytest.fixture(scope="session")
def files(spandrel, tmp_path_factory):
    """Name -> a file of random weights, wrapped as training scripts do, or of safetensors."""
    folder, made = tmp_path_factory.mktemp("community"), {}
    for name, network in architectures().items():
        torch.manual_seed(0)
        state = network().state_dict()
        state = {key: nn.init.normal_(value, std=0.1) if name == "NAFNet" else value for key, value in state.items()}
        if name == "ESRGAN":
            save_file({key: value.contiguous() for key, value in state.items()}, folder / f"{name}.safetensors")
            made[name] = folder / f"{name}.safetensors"
        else:
            made[name] = folder / f"{name}.pth"
            torch.save({"params_ema": state}, made[name])
    return made


@pytest.mark.parametrize("name", NAMES)
def test_restores_as_spandrel_itself(spandrel, files, photographs, name):
    described = spandrel.ModelLoader().load_from_file(files[name])
    restorer = Restorer.from_checkpoint(f"spandrel:{files[name]}")
    image = to_float(read_image(photographs / "cat.png"))[None, :, :67, :81]
    gray = described.input_channels == 1
    expected = torch.cat([described(one) for one in image.split(1, 1)], 1) if gray else described(image)
    with torch.inference_mode():
        restored = restorer.restore(image, ())
    assert restored.shape == (1, 3, 67 * described.scale, 81 * described.scale)
    assert not expected.equal(expected.roll(1, -1))
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-6)
    (network,) = restorer.networks.values()
    info = network_info(network)
    rule = described.size_requirements
    assert (info.channels, info.scale, info.half_precision) == (described.input_channels, described.scale, True)
    assert (info.size_rule().multiple, info.size_rule().minimum) == (rule.multiple_of, max(rule.minimum, 1))
    assert info.tiling == ("exact" if name in ("Compact", "ESRGAN", "DRUNet", "Uformer") else "approximate")


def test_squares_and_batches(spandrel, files):
    images = torch.rand(2, 3, 128, 256, generator=torch.Generator().manual_seed(0))
    for name in ("Uformer", "DRUNet"):  # of squares alone; of one image at once
        described = spandrel.ModelLoader().load_from_file(files[name])
        network = load_trained(f"spandrel:{files[name]}").network
        given = images[:, : described.input_channels]
        with torch.inference_mode():
            restored = network(given).clamp(0, 1)
        expected = torch.cat([described(one) for one in given.split(1)])
        torch.testing.assert_close(restored, expected, rtol=0, atol=1e-6)


def test_applied_from_the_command_line_whole_and_in_tiles(spandrel, files, photographs, tmp_path, restore):
    source = f"spandrel:{files['Compact']}"
    words = ("apply", source, photographs, "--precision", "float32", "--output")
    code, _, err = restore(*words, tmp_path / "whole")
    assert (code, err.count("Traceback")) == (0, 0), err
    assert restore(*words, tmp_path / "tiles", "--tile", 40, "--overlap", 20)[0] == 0
    described = spandrel.ModelLoader().load_from_file(files["Compact"])
    for path in photographs.iterdir():
        expected = to_uint8(described(to_float(read_image(path))[None]))[0]
        for folder in ("whole", "tiles"):
            difference = read_image(tmp_path / folder / path.name).int() - expected.int()
            assert difference.abs().max() <= 1


def test_a_baseline_alone_and_as_a_stage(files, photographs):
    image = to_float(read_image(photographs / "cat.png"))[None]
    nafnet, swinir = (f"spandrel:{files[name]}" for name in ("NAFNet", "SwinIR"))
    alone = read_baseline("alone", Baseline(nafnet)).restorer
    cascade = read_baseline("cascade", Baseline({"rain": nafnet, "noise": swinir}, order=["noise", "rain"])).restorer
    with torch.inference_mode():
        once = alone.restore(image, ["rain", "haze"])  # whatever the factors are, one pass
        steps = cascade.restore_steps(image, ["rain", "haze"])
        assert [step.factor for step in steps] == ["noise", "rain"]
        torch.testing.assert_close(steps[-1].image, alone.restore(steps[0].image, ()), rtol=0, atol=0)
    assert not once.equal(image)
    replace(alone, settings=InferenceSettings(tile=32, self_ensemble=True))  # accepted


@pytest.mark.slow
def test_fine_tuned_applied_and_bundled_without_the_file(files, photographs, tmp_path, restore):
    file = tmp_path / "mine.pth"
    file.write_bytes(files["NAFNet"].read_bytes())
    words = ("--model.network", "restore_lightning.community.Spandrel", "--model.network.file", file)
    last = fitted(CONF / "single.yaml", tmp_path / "run", *words)
    before = load_trained(f"spandrel:{file}").network
    file.unlink()
    trained = load_trained(last)
    moved = [
        float((one - other).detach().abs().max())
        for one, other in zip(trained.network.parameters(), before.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 0.1
    photo = photographs / "cat.png"
    assert restore("apply", last, photo, "--output", tmp_path / "out")[0] == 0
    code, _, err = restore("bundle", last, tmp_path / "bundle")
    assert code == 0, err
    assert str(tmp_path) not in (tmp_path / "bundle/config.json").read_text()
    assert restore("apply", tmp_path / "bundle", photo, "--output", tmp_path / "again")[0] == 0
    results = [np.asarray(Image.open(tmp_path / folder / "cat.png")) for folder in ("out", "again")]
    assert np.array_equal(*results)


def test_bundled_from_the_file(files, photographs, tmp_path, restore):
    source = f"spandrel:{files['ESRGAN']}"
    code, _, err = restore("bundle", source, tmp_path / "bundle", "--licence", "mit")
    assert code == 0, err
    image = to_float(read_image(photographs / "cat.png"))[None, :, :20, :20]
    results = [Restorer.from_checkpoint(one).restore(image, ()) for one in (source, tmp_path / "bundle")]
    assert results[0].equal(results[1])
    assert "removes degradation" in (tmp_path / "bundle/README.md").read_text()


def test_exported_from_the_file(files, photographs, tmp_path, restore):
    source, out = f"spandrel:{files['Compact']}", tmp_path / "it.pt2"
    code, said, err = restore("export", source, out)
    assert code == 0, err
    assert "differs from PyTorch by" in said
    image = to_float(read_image(photographs / "cat.png"))[None, :, :33, :41]
    program, restorer = torch.export.load(out).module(), Restorer.from_checkpoint(source)
    with torch.inference_mode():
        torch.testing.assert_close(program(image), restorer.restore(image, ()), rtol=0, atol=1e-5)
    code, _, err = restore("export", f"spandrel:{files['DRUNet']}", out, "--overwrite")
    assert code == 1
    assert "DRUNet takes one image at a time by spandrel, an exported file takes batches" in err.splitlines()[-1]


def test_training_starts_from_the_file(files, tmp_path, restore):
    """Of the network as spandrel builds it; ours has other names."""
    source = ("--model.init_from", f"spandrel:{files['NAFNet']}", "--trainer.default_root_dir", tmp_path / "run")
    network = ("--model.network", "restore_lightning.community.Spandrel", "--model.network.file", files["NAFNet"])
    short = ("--trainer.max_steps", 1, "--trainer.limit_val_batches", 0)
    code, _, err = restore("fit", "--config", CONF / "single.yaml", *network, *source, *short)
    assert code == 0, err
    assert "starting from spandrel:" in err
    code, _, err = restore("fit", "--config", CONF / "single.yaml", *source, *short, "--overwrite")
    assert code == 2
    assert "is of another network than the config's: it is restore_lightning.networks." in err


def test_a_network_that_its_tensors_do_not_tell_is_used_but_not_kept(spandrel, tmp_path, restore, photographs):
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    settings = {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "mlp_ratio": 2}
    state = SwinIR(start_unshuffle=2, upscale=4, upsampler="nearest+conv", **settings).state_dict()
    # As RealESRGAN's training code names what unshuffles pixels first.
    state |= {f"conv_first.1.{key}": state.pop(f"conv_first.{key}") for key in ("weight", "bias")}
    torch.save(state, tmp_path / "odd.pth")
    image = to_float(read_image(photographs / "cat.png"))[None, :, :32, :48]
    with torch.inference_mode():
        restored = Restorer.from_checkpoint(f"spandrel:{tmp_path / 'odd.pth'}").restore(image, ())
    expected = spandrel.ModelLoader().load_from_file(tmp_path / "odd.pth")(image)
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-6)
    code, _, err = restore("bundle", f"spandrel:{tmp_path / 'odd.pth'}", tmp_path / "bundle")
    assert (code, err.count("\n")) == (2, 1)
    assert "its tensors alone do not tell this SwinIR" in err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a.weight": torch.zeros(2)}, "knows no architecture with the tensors a.weight"),
        ({"text": "no tensor"}, "holds no tensors by name"),
        ([1, 2], "holds no tensors by name"),
        ({"network": {}, "state_dict": {}}, "name it without spandrel:"),
    ],
)
def test_files_that_are_none(spandrel, tmp_path, restore, photographs, given, said):
    torch.save(given, tmp_path / "it.pth")
    code, _, err = restore("apply", f"spandrel:{tmp_path / 'it.pth'}", photographs, "--output", tmp_path / "out")
    assert code in (1, 2)
    assert err.count("\n") == 1
    assert said in err


class Evil:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


def test_nothing_is_unpickled(spandrel, tmp_path):
    torch.save({"params": {"a": Evil(tmp_path / "made")}}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="more than tensors and plain values"):
        Restorer.from_checkpoint(f"spandrel:{tmp_path / 'evil.pth'}")
    assert not (tmp_path / "made").exists()


def test_no_such_file(restore, photographs, tmp_path):
    for place, said in ((tmp_path / "no.pth", "no such file"), (tmp_path, "a folder, name a file in it")):
        code, _, err = restore("apply", f"spandrel:{place}", photographs, "--output", tmp_path / "out")
        assert (code, err) == (2, f"restore apply: checkpoint spandrel:{place}: {said}\n")


def test_without_the_package(restore, photographs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save({"a": torch.zeros(1)}, tmp_path / "it.pth")
    code, _, err = restore("apply", f"spandrel:{tmp_path / 'it.pth'}", photographs, "--output", tmp_path / "out")
    assert code == 2
    assert re.search(r"spandrel is not installed: pip install 'restore-lightning\[spandrel\]'\n$", err)
