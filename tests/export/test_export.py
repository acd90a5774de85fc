"""`restore export`: what it writes, and what it refuses."""

import json
import sys

import numpy as np
import pytest
import torch

from restore_lightning.inference import Restorer
from tests.export.conftest import checkpoint, odd_checkpoint, pixels

pytest.importorskip("onnxruntime")
MBN = {"width": 2, "stem": [[3, 3, 1]], "extra": [[3, 3, 1]], "iterations": 2, "scales": 2}
SMALL = {"width": 4, "encoders": [1], "decoders": [1]}


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
    code, out, err = restore("export", source, tmp_path / "u.pt2", "--no-padding")
    assert code == 0, err
    texts = {"image": ""}
    program = torch.export.load(tmp_path / "u.pt2", extra_files=texts).module()
    assert "sides multiples of 4 from 8 pixels on" in texts["image"]
    assert program(torch.rand(1, 3, 24, 32)).shape == (1, 3, 24, 32)
    line = out.partition("; next: ")[2]
    named = {}
    exec(line, named)
    assert named["restored"].shape == (1, 3, 96, 128)
    with pytest.raises(Exception, match="4"):
        program(torch.rand(1, 3, 25, 32))


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
    *said, _ = err.splitlines()  # one line for the problem
    steps = [f"tracing {name} (rain): minutes, if it is large", f"writing {out}", "comparing with PyTorch"]
    assert said
    assert said == steps[: len(said)]
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".ckpt", suffix}


def test_a_file_that_is_not_compared_is_kept_as_it_is(restore, tmp_path, odd_networks):
    source = odd_checkpoint(tmp_path, "TwoFaced")
    code, out, _ = restore("export", source, tmp_path / "it.pt2", "--no-verify")
    assert code == 0
    assert "not compared with PyTorch" in out
    assert torch.export.load(tmp_path / "it.pt2").module()(torch.ones(1, 3, 4, 4)).max() == 0.5


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
