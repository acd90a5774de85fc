"""`restore export`, and what `restore apply` and others make of its files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import nn

import restore_lightning.networks
from restore_lightning.inference import Restorer
from tests.conftest import CONF

pytest.importorskip("onnxruntime")
EXAMPLE = Path(__file__).parents[2] / "examples/onnx_apply.py"
MBN = {"width": 2, "stem": [[3, 3, 1]], "extra": [[3, 3, 1]], "iterations": 2, "scales": 2}
DRN = ("DRN", {"T": 1, "R": 1, "width": 4})
SMALL = {"width": 4, "encoders": [1], "decoders": [1]}


def checkpoint(path: Path, name: str, arguments: dict, order: list[str] | None = None, factor: str = "rain") -> Path:
    """Weights of which none are zero, as `restore fit` saves them."""
    torch.manual_seed(0)
    network = getattr(restore_lightning.networks, name)(**arguments)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    spec = {"class_path": f"restore_lightning.networks.{name}", "init_args": arguments}
    torch.save({"network": spec, "order": order, "factor": factor, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def drn(tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("drn") / "drn.ckpt", *DRN)


@pytest.fixture(scope="module")
def drn_onnx(drn) -> Path:
    from restore_lightning.cli import main

    assert main(["export", str(drn), str(drn.with_suffix(".onnx"))]) == 0
    return drn.with_suffix(".onnx")


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    Image.fromarray(data.chelsea()[100:163, 100:187]).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("DuRN", {"preset": "S-P", "width": 2, "blocks": [["S", 3, 3, 1], ["P", 3, 3, 2]], "released": True}),
        ("DuRN", {"preset": "U", "width": 2, "blocks": [["U", 3, 3, 1]]}),
        ("DIN", {"scale": 3, "D": 1, "B": 1, "M": 2, "width": 4, "growth": 2}),
        ("NAFNet", SMALL),
        ("NAFNet", SMALL | {"train_size": 16}),
        ("Restormer", {"width": 2, "blocks": [0, 0, 0, 1], "refinement": 0, "heads": [1, 1, 1, 2]}),
    ],
)
def test_a_program_takes_images_of_any_size(restore, tmp_path, name, arguments):
    source = checkpoint(tmp_path / "it.ckpt", name, arguments)
    assert restore("export", source, tmp_path / "it.pt2")[0] == 0
    texts = {"restore_lightning": "", "image": ""}
    program = torch.export.load(tmp_path / "it.pt2", extra_files=texts).module()
    assert json.loads(texts["restore_lightning"])["network"] == name
    assert "RGB, 0 to 1" in texts["image"]
    restorer = Restorer.from_checkpoint(source)
    for shape in ((1, 3, 5, 41), (3, 3, 40, 48)):
        image = torch.rand(shape)
        with torch.no_grad():
            torch.testing.assert_close(program(image), restorer.restore(image, ["rain"]), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_recurrent_network_does_all_of_its_passes(restore, tmp_path, photo):
    """Its kinds of branches need different sizes."""
    arguments = MBN | {"hierarchy": [["blur", "haze"]], "extra": []}
    source = checkpoint(tmp_path / "r_mbn.ckpt", "MBN", arguments, ["haze", "blur"])
    code, out, _ = restore("export", source, tmp_path / "r_mbn.onnx")
    assert code == 0
    assert "removes haze, blur" in out
    for weights, how in ((source, ("--precision", "float32")), (tmp_path / "r_mbn.onnx", ())):
        assert restore("apply", weights, photo, "--output", tmp_path / weights.suffix, *how)[0] == 0
    results = [pixels(tmp_path / suffix / photo.name) for suffix in (".ckpt", ".onnx")]
    assert np.abs(results[0] - results[1]).max() <= 1
    assert np.abs(results[0] - pixels(photo)).max() > 3


@pytest.mark.slow
def test_apply_and_the_example_restore_by_the_file(restore, tmp_path, photo, drn, drn_onnx):
    for how in ((), ("--tile", 40)):
        there = tmp_path / "-".join(("of", *map(str, how)))
        for weights, precision in ((drn, ("--precision", "float32")), (drn_onnx, ())):
            words = ("--factor", "rain", "--output", there / weights.suffix, *how, *precision)
            assert restore("apply", weights, photo, *words)[0] == 0
        results = [pixels(there / suffix / photo.name) for suffix in (".ckpt", ".onnx")]
        assert np.abs(results[0] - results[1]).max() <= 1, how
    subprocess.run([sys.executable, EXAMPLE, drn_onnx, photo, tmp_path / "example.png"], check=True)
    assert np.abs(pixels(tmp_path / "example.png") - pixels(tmp_path / "of/.ckpt" / photo.name)).max() <= 1


def test_the_example_needs_no_other_package():
    lines = EXAMPLE.read_text().splitlines()
    imported = {line.split()[1] for line in lines if line.startswith(("import", "from"))}
    assert imported == {"sys", "numpy", "onnxruntime", "PIL"}
    assert len(lines) <= 30


@pytest.mark.slow
def test_a_file_says_what_it_does_and_nothing_of_this_machine(drn_onnx):
    import onnxruntime

    session = onnxruntime.InferenceSession(drn_onnx)
    (image,), (restored, unclamped) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ("image", ["batch", 3, "height", "width"], "tensor(float)")
    assert (restored.name, restored.shape) == ("restored", ["batch", 3, "height", "width"])
    assert (unclamped.name, unclamped.shape) == ("unclamped", restored.shape)
    said = session.get_modelmeta().custom_metadata_map
    assert said["use"] == "DRN, removes rain: 8-bit pixels / 255 as image; restored * 255, rounded"
    assert str(Path(restore_lightning.__file__).parent).encode() not in drn_onnx.read_bytes()


@pytest.mark.slow
def test_bfloat16_in_onnx_has_nothing_to_be_compared_with(restore, tmp_path, drn):
    code, _, err = restore("export", drn, tmp_path / "half.onnx", "--precision", "bf16")
    assert code == 2
    assert "give fp16, OUT.pt2, or --no-verify" in err


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision(restore, tmp_path, drn, precision):
    code, out, err = restore("export", drn, tmp_path / "half.pt2", "--precision", precision)
    assert code == 0, err
    assert f"{precision}: differs from PyTorch by" in out
    program = torch.export.load(tmp_path / "half.pt2")
    assert {tensor.dtype for tensor in program.state_dict.values()} == {
        {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    }


@pytest.mark.slow
def test_without_padding_sizes_are_the_network_s(restore, tmp_path):
    source = checkpoint(tmp_path / "u.ckpt", "DuRN", {"preset": "U", "width": 2, "blocks": [["U", 3, 3, 1]]})
    assert restore("export", source, tmp_path / "u.pt2", "--no-padding")[0] == 0
    texts = {"image": ""}
    program = torch.export.load(tmp_path / "u.pt2", extra_files=texts).module()
    assert "sides multiples of 4 from 8 pixels on" in texts["image"]
    assert program(torch.rand(1, 3, 24, 32)).shape == (1, 3, 24, 32)
    with pytest.raises(Exception, match="4"):
        program(torch.rand(1, 3, 25, 32))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["fit", "test"])
def test_a_file_cannot_be_trained_or_tested(restore, tmp_path, drn_onnx, verb):
    run = ("--config", CONF / "single.yaml", "--trainer.default_root_dir", tmp_path / "run")
    code, _, err = restore(verb, *run, "--ckpt_path", drn_onnx)
    assert code == 1
    assert "it is an exported network, restore apply takes .onnx" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("--precision", "bf16"), ("--order", "rain,haze"), ("--device", "cuda"), ("--local-statistics", "64")]
)
def test_options_that_a_file_has_settled(restore, tmp_path, drn_onnx, photo, words):
    code, _, err = restore("apply", drn_onnx, photo, "--output", tmp_path, *words)
    assert code == 2
    assert err.startswith(f"restore apply: {words[0]} {words[1]}: ")


def test_onnx_files_of_others_are_refused(restore, tmp_path, photo):
    from onnx import TensorProto, helper, save_model

    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", sides[:1], sides[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    save_model(model, tmp_path / "other.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    for name, problem in (("other", "was not written by restore export"), ("damaged", "cannot use it")):
        code, _, err = restore("apply", tmp_path / f"{name}.onnx", photo, "--output", tmp_path / "out")
        assert code == (2 if name == "other" else 1)
        assert problem in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("OUT.pt",), "its suffix names the format, give .onnx or .pt2"),
        (("OUT.pt2", "--opset", "18"), "--opset 18 is of ONNX"),
        (("there.onnx",), "exists already: give --overwrite"),
        (("OUT.onnx", "--factor", "haze"), "unknown --factor haze: this network has rain"),
        (("OUT.onnx", "--opset", "99"), "runs what torch writes from 18 to"),
    ],
)
def test_wrong_calls(restore, tmp_path, drn, words, problem):
    (tmp_path / "there.onnx").write_text("mine")
    code, _, err = restore("export", drn, tmp_path / words[0], *words[1:])
    assert (code, problem in err) == (2, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]


def test_a_network_of_several_factors_is_told_one(restore, tmp_path):
    source = checkpoint(tmp_path / "mbn.ckpt", "MBN", MBN | {"hierarchy": ["rain", "blur"]})
    code, _, err = restore("export", source, tmp_path / "mbn.onnx")
    assert code == 2
    assert "no --factor given: this network has rain, blur" in err


def test_the_extra_is_named_where_it_is_missing(restore, tmp_path, drn, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, _, err = restore("export", drn, tmp_path / "drn.onnx")
    assert code == 2
    assert "onnxscript is not installed: pip install 'restore-lightning[export]'" in err


ODD = """
import torch
from torch import nn
from restore_lightning.networks import SizeRule

class Undecided(nn.Module):
    def forward(self, image):
        return image * 0.5 if image.mean() > 0.5 else image

class Wordless(nn.Module):
    def forward(self, image):
        return torch.special.bessel_j0(image)

class TwoFaced(nn.Module):
    def forward(self, image):
        return image * (0.5 if torch.compiler.is_compiling() else 1)

class Sharper(nn.Module):
    size_rule = SizeRule(4, 8)

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, image):
        assert image.shape[-1] % 4 == 0 and image.shape[-2] % 4 == 0
        return image + self.gain * (image - torch.cat([image[..., :1], image[..., :-1]], -1))
"""


def odd_checkpoint(folder: Path, name: str, **tensors) -> Path:
    spec = {"class_path": f"odd_networks.{name}", "init_args": {}}
    state = {f"network.{key}": tensor for key, tensor in tensors.items()}
    torch.save({"network": spec, "order": None, "factor": "rain", "state_dict": state}, folder / "odd.ckpt")
    return folder / "odd.ckpt"


@pytest.fixture(scope="module")
def odd_networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd_networks.py").write_text(ODD)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(scope="module")
def sharper(odd_networks) -> Path:
    """Weights of a network whose results leave [0, 1], and which takes multiples of 4."""
    return odd_checkpoint(odd_networks, "Sharper", gain=torch.tensor(3.0))


@pytest.fixture(scope="module")
def sharper_onnx(sharper) -> Path:
    """Its file, for multiples of 4 only, and not compared with it."""
    from restore_lightning.cli import main

    out = sharper.with_name("sharper.onnx")
    assert main(["export", str(sharper), str(out), "--no-padding", "--no-verify"]) == 0
    return out


@pytest.mark.parametrize(
    ("name", "suffix", "problem"),
    [
        ("Undecided", ".pt2", "cannot be exported at odd_networks.py:8, `return image * 0.5 if"),
        ("Wordless", ".onnx", "cannot be written as ONNX, which has no prims.bessel_j0"),
        ("TwoFaced", ".pt2", "is not kept: it differs from PyTorch by"),
    ],
)
def test_networks_that_cannot_be_exported(restore, tmp_path, odd_networks, name, suffix, problem):
    source, out = odd_checkpoint(tmp_path, name), tmp_path / f"odd{suffix}"
    out.write_text("earlier")
    code, _, err = restore("export", source, out, "--overwrite")
    assert code == 1
    assert problem in err
    assert out.read_text() == "earlier"
    assert len(err.splitlines()) == 2
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".ckpt", suffix}


def test_a_file_that_is_not_compared_is_kept_as_it_is(restore, tmp_path, odd_networks):
    source = odd_checkpoint(tmp_path, "TwoFaced")
    code, out, _ = restore("export", source, tmp_path / "it.pt2", "--no-verify")
    assert code == 0
    assert "not compared with PyTorch" in out
    assert torch.export.load(tmp_path / "it.pt2").module()(torch.ones(1, 3, 4, 4)).max() == 0.5


def test_without_padding_apply_pads(restore, tmp_path, sharper, sharper_onnx, photo):
    """In a mean over flips, too, each is clamped after it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(sharper_onnx)
    said = session.get_modelmeta().custom_metadata_map
    assert said["image"].endswith("sides multiples of 4 from 8 pixels on")
    image = np.random.default_rng(0).random((2, 3, 12, 20), np.float32)
    restored, unclamped = session.run(["restored", "unclamped"], {"image": image})
    assert unclamped.min() < -1
    assert np.array_equal(restored, unclamped.clip(0, 1))
    for how in ((), ("--self-ensemble",)):
        there = tmp_path / f"of{len(how)}"
        for weights in (sharper, sharper_onnx):
            assert restore("apply", weights, photo, "--output", there / weights.suffix, *how)[0] == 0
        results = [pixels(there / suffix / photo.name) for suffix in (".ckpt", ".onnx")]
        assert np.abs(results[0] - results[1]).max() <= 1, how


def test_half_precision_in_onnx(restore, tmp_path, sharper):
    import onnx

    code, out, err = restore("export", sharper, tmp_path / "half.onnx", "--precision", "fp16")
    assert code == 0, err
    assert "fp16: differs from PyTorch by" in out
    graph = onnx.load(tmp_path / "half.onnx").graph
    of_type = {tensor.data_type for tensor in graph.initializer if "gain" in tensor.name}
    assert of_type == {onnx.TensorProto.FLOAT16}
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_an_opset_that_onnxruntime_lacks(restore, tmp_path, sharper):
    from onnx import defs

    newest = defs.onnx_opset_version()
    code, _, err = restore("export", sharper, tmp_path / "new.onnx", "--opset", newest)
    if code == 0:
        pytest.skip(f"onnxruntime runs the newest opset, {newest}")
    assert code == 2
    assert f"--opset {newest}: onnxruntime " in err
    assert "runs what torch writes from 18 to" in err


@pytest.mark.parametrize(
    ("device", "problem"),
    [("cuda", "computes on the CPU only; install onnxruntime-gpu"), ("mps", "are computed on cpu or cuda")],
)
def test_devices_that_onnxruntime_lacks(restore, tmp_path, sharper_onnx, photo, device, problem):
    import onnxruntime

    if device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has it")
    code, _, err = restore("apply", sharper_onnx, photo, "--output", tmp_path / "out", "--device", device)
    assert code == 2
    assert err.startswith(f"restore apply: --device {device}: ")
    assert problem in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "it.pt2", "photo.png", "--output", "out"),
        ("export", "it.onnx", "new.onnx"),
        ("export", "it.pt2", "new.pt2"),
        ("bundle", "it.onnx", "bundle"),
        ("test", "--config", CONF / "single.yaml", "--trainer.default_root_dir", "run", "--ckpt_path", "it.pt2"),
    ],
)
def test_verbs_that_take_no_exported_file(restore, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    for name in ("it.onnx", "it.pt2"):
        (tmp_path / name).write_bytes(b"program")
    Image.fromarray(data.chelsea()[:16, :16]).save("photo.png")
    code, _, err = restore(*words)
    assert code == 1
    assert "it is an exported network, restore apply takes .onnx" in err
    assert len(err.splitlines()) == 1
