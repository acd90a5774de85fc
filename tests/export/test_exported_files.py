"""What `restore apply`, other verbs and other programs make of exported files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import restore_lightning
from restore_lightning.export.description import INPUT, OUTPUT, Description
from tests.conftest import CONF
from tests.export.conftest import odd_checkpoint, pixels

pytest.importorskip("onnxruntime")
EXAMPLE = Path(__file__).parents[2] / "examples/onnx_apply.py"


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


@pytest.mark.slow
def test_the_example_says_how_to_call_it_and_what_it_drops(tmp_path, photo, drn_onnx):
    def run(*words):
        return subprocess.run(
            [sys.executable, EXAMPLE, *words], capture_output=True, text=True, timeout=60, check=False
        )

    done = run()
    assert (done.returncode, done.stderr) == (1, "usage: python onnx_apply.py MODEL.onnx PHOTO RESTORED.png\n")
    clear = Image.open(photo)
    clear.putalpha(9)
    clear.save(tmp_path / "clear.png")
    done = run(drn_onnx, tmp_path / "clear.png", tmp_path / "out.png")
    assert (done.returncode, done.stderr) == (0, f"{tmp_path / 'clear.png'}: alpha is not kept\n")
    assert Image.open(tmp_path / "out.png").mode == "RGB"


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


def test_a_network_of_several_factors_that_is_told_none(restore, tmp_path, odd_networks, photo):
    source = odd_checkpoint(tmp_path, "Sharper", factor="rain, noise", gain=torch.tensor(3.0))
    code, out, err = restore("export", source, tmp_path / "odd.onnx")
    assert code == 0, err
    assert "removes rain, noise" in out
    for weights in (source, tmp_path / "odd.onnx"):
        assert restore("apply", weights, photo, "--output", tmp_path / f"by{weights.suffix}")[0] == 0
    results = [pixels(tmp_path / f"by{suffix}" / photo.name) for suffix in (".ckpt", ".onnx")]
    assert np.abs(results[0] - results[1]).max() <= 1


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
    (tmp_path / "folder.onnx").mkdir()
    told = {"other": "was not written by restore export", "folder": "a folder, name a file", "damaged": "cannot use it"}
    for name, problem in told.items():
        code, _, err = restore("apply", tmp_path / f"{name}.onnx", photo, "--output", tmp_path / "out")
        assert code == (1 if name == "damaged" else 2)
        assert problem in err


def described(path, side, copies=1):
    """A file that says that it is ours, and gives so many copies of an image with sides of one length."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3, side, side]) for name in (INPUT, OUTPUT)]
    shape = numpy_helper.from_array(np.array([copies, 1, 1, 1]), "shape")
    node = helper.make_node("Expand", [INPUT, "shape"], [OUTPUT])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for key, text in Description("Copies", "rain", 3, 1, 1, 1, padded=True, precision="fp16").metadata().items():
        model.metadata_props.add(key=key, value=text)
    save_model(model, path)
    return path


def test_an_image_that_onnxruntime_fails_with_does_not_cost_the_others(restore, tmp_path):
    weights, photos = described(tmp_path / "it.onnx", 8), [tmp_path / "a.png", tmp_path / "b.png"]
    for photo, side in zip(photos, (9, 8), strict=True):
        Image.fromarray(data.chelsea()[:side, :side]).save(photo)
    code, out, err = restore("apply", weights, *photos, "--output", tmp_path / "out")
    assert code == 1
    assert f"1 of 2 images restored in {tmp_path / 'out'} (cpu, fp16)" in out  # the file's precision
    assert f"not restored: {photos[0]}: onnxruntime: InvalidArgument: " in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_too_little_memory_for_onnxruntime(restore, tmp_path, photo):
    weights = described(tmp_path / "it.onnx", None, copies=2**40)
    code, _, err = restore("apply", weights, photo, "--output", tmp_path / "out")
    assert (code, err.count("\n")) == (1, 1)
    assert f"not restored: {photo}: too large for the memory: restore it in tiles, e.g. --tile 512: onnxruntime" in err


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
        ("demo", "it.onnx", "--port", "0"),
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
    (line,) = [line for line in err.splitlines() if not line.startswith("config: ")]  # of fit and test
    assert "it is an exported network, restore apply takes .onnx" in line
