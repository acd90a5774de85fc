"""`restore apply` with a checkpoint of a real (tiny) run on real photographs."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore_lightning.checkpoints import load_trained
from restore_lightning.hardware import computes_bfloat16
from restore_lightning.inference import DEFAULT, InferenceSettings, restore_in_order
from restore_lightning.inference import restore as restore_image
from restore_lightning.io.images import read_image, to_float, to_uint8
from tests.conftest import CONF


@pytest.fixture
def checkpoint(step_1):
    return step_1


EXACT = ("--precision", "float32")


def test_an_unknown_degradation_needs_no_factor(step_2, restore, photos, tmp_path):
    """The order that the network was fine-tuned in, or another one that is given."""
    network = load_trained(step_2).network
    image = to_float(read_image(photos / "a.png"))[None]
    written = []
    for words, order in (((), "haze,jpeg,rain,blur"), (("--order", "rain,blur,haze,jpeg"), "rain,blur,haze,jpeg")):
        folder = tmp_path / order
        code, _, err = restore("apply", step_2, photos / "a.png", *words, *EXACT, "--output", folder)
        assert code == 0, err
        with torch.no_grad():
            expected = to_uint8(restore_in_order(network, image, order.split(","))[-1])[0]
        written.append(read_image(folder / "a.png"))
        assert torch.equal(written[-1], expected)
    assert not torch.equal(*written)


def test_a_network_of_step_1_walks_a_given_order(checkpoint, restore, photos, tmp_path):
    words = ("--order", "jpeg, haze, blur, rain")
    assert restore("apply", checkpoint, photos / "a.png", *words, "--output", tmp_path)[0] == 0


LARGE = {
    "tiles": (("--tile", 96), InferenceSettings(tile=96)),
    "tiles that share much": (("--tile", 96, "--overlap", 48), InferenceSettings(tile=96, overlap=48)),
    "local statistics": (("--local-statistics", 64), InferenceSettings(local_statistics=64)),
    "all at once": (
        ("--tile", 96, "--local-statistics", 64, "--self-ensemble"),
        InferenceSettings(tile=96, local_statistics=64, self_ensemble=True),
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_images(case, step_2, restore, photos, tmp_path):
    """The flags are those of `InferenceSettings`, in each pass of the recurrent order."""
    words, inference = LARGE[case]
    Image.open(photos / "a.png").crop((0, 0, 150, 120)).save(tmp_path / "in.png")
    code, _, err = restore("apply", step_2, tmp_path / "in.png", *words, *EXACT, "--output", tmp_path / "out")
    assert code == 0, err
    trained = load_trained(step_2)
    image = to_float(read_image(tmp_path / "in.png"))[None]
    with torch.inference_mode():
        expected, plain = (
            to_uint8(restore_in_order(trained.network, image, trained.order, how)[-1])[0]
            for how in (inference, DEFAULT)
        )
    found = read_image(tmp_path / "out/in.png")
    assert torch.equal(found, expected)
    assert not torch.equal(found, plain)


GREEDY = """
    import torch
    from torch import nn


    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, image):
            if image.shape[-1] > 100:
                torch.empty(2**50)  # a petabyte or more
            return image + self.layer(image)
"""


def test_the_help_names_the_default_overlap(restore):
    assert f"(default {InferenceSettings(tile=1024).overlap}, of" in " ".join(restore("apply", "--help")[1].split())


def test_too_little_memory(restore, photos, tmp_path, monkeypatch):
    """The message says what helps, and it does."""
    (tmp_path / "greedy.py").write_text(textwrap.dedent(GREEDY))
    monkeypatch.syspath_prepend(tmp_path)
    run = ("--trainer.default_root_dir", tmp_path / "run", "--trainer.val_check_interval", 1000)
    code, _, err = restore("fit", "--config", CONF / "single.yaml", "--model.network", "greedy.Greedy", *run)
    assert code == 0, err

    def apply(*words):
        last = tmp_path / "run/checkpoints/last.ckpt"
        return restore("apply", last, photos / "a.png", *words, "--output", tmp_path / "out")

    code, _, err = apply()
    assert code == 1
    assert "a.png: too large for the memory: restore it in tiles, e.g. --tile 512: " in err
    code, _, err = apply("--tile", 128)
    assert code == 1
    assert "a.png: too large for the memory: give a smaller --tile than 128: " in err
    code, _, err = apply("--tile", 96, "--local-statistics", 64)
    assert code == 2
    assert "--local-statistics: the network takes no statistics over whole images, leave it out" in err
    code, _, err = apply("--tile", 96)
    assert code == 0, err


def test_files_and_folders_of_any_size(checkpoint, restore, photos, tmp_path):
    Image.fromarray(data.coffee()[:37, :53]).save(tmp_path / "odd.jpg")
    words = ("--factor", "haze", *EXACT, "--output", tmp_path / "out")
    code, out, err = restore("apply", checkpoint, photos, tmp_path / "odd.jpg", *words)
    assert code == 0, err
    assert f"4 of 4 images restored in {tmp_path / 'out'} (cpu, float32)" in out
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert found == {"a.png", "more/b.png", "more/c.png", "odd.png"}
    assert Image.open(tmp_path / "out/odd.png").size == (53, 37)

    network = load_trained(checkpoint).network
    image = to_float(read_image(photos / "a.png"))[None]
    with torch.no_grad():
        expected = to_uint8(restore_image(network, image, "haze"))[0]
    assert torch.equal(read_image(tmp_path / "out/a.png"), expected)


def test_same_format(checkpoint, restore, photos, tmp_path):
    code, _, err = restore("apply", checkpoint, photos, "--factor", "rain", "--output", tmp_path, "--format", "same")
    assert code == 0, err
    assert Image.open(tmp_path / "more/b.jpg").format == "JPEG"


def test_precision(step_2, restore, photos, tmp_path):
    """It is told; bfloat16 differs from float32 by little, and is what auto takes where the processor has it."""

    def apply(precision):
        words = ("--precision", precision, "--output", tmp_path / precision)
        code, out, err = restore("apply", step_2, photos / "a.png", *words)
        assert code == 0, err
        return read_image(tmp_path / precision / "a.png").double(), out.strip().rpartition(" (")[2]

    half, of_half = apply("bf16")
    exact, of_exact = apply("float32")
    chosen, of_chosen = apply("auto")
    assert (of_half, of_exact) == ("cpu, bfloat16)", "cpu, float32)")
    assert 0 < (half - exact).square().mean().sqrt() < 1.5  # of 255
    if computes_bfloat16("cpu"):
        assert torch.equal(chosen, half)
        assert of_chosen == of_half
    else:
        assert torch.equal(chosen, exact)
        assert of_chosen == of_exact


def test_a_folder_is_what_its_files_are_one_by_one(checkpoint, restore, photos, tmp_path):
    """Read and written beside the network, damaged files among them: the same files, lines in their order."""
    for number, source in enumerate(("a.png", "more/b.jpg", "more/c.png") * 3):
        (tmp_path / f"in/{number}").mkdir(parents=True)
        (tmp_path / f"in/{number}/{source[-5:]}").write_bytes((photos / source).read_bytes())
        if number % 4 == 1:
            (tmp_path / f"in/{number}/broken.png").write_bytes((photos / "a.png").read_bytes()[:5000])
    words = ("--factor", "haze", "--output")
    code, out, err = restore("apply", checkpoint, tmp_path / "in", *words, tmp_path / "out")
    assert code == 1
    assert "9 of 11 images restored" in out
    lines = [line for line in err.splitlines() if line.startswith("not restored: ")]
    assert [line.partition("broken.png")[0][-2:] for line in lines] == ["1/", "5/"]
    written = sorted((tmp_path / "out").rglob("*.*"))
    assert len(written) == 9
    for path in written[:3]:
        source = next(iter(sorted((tmp_path / "in" / path.parent.name).glob(f"{path.stem}.*"))))
        assert restore("apply", checkpoint, source, *words, tmp_path / f"alone{path.parent.name}")[0] == 0
        assert (tmp_path / f"alone{path.parent.name}" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_only(checkpoint, photos, tmp_path):
    """After the first file of many; those that are being written are finished."""
    (tmp_path / "in").mkdir()
    for number in range(200):
        (tmp_path / f"in/{number:03d}.png").write_bytes((photos / "a.png").read_bytes())
    words = ("apply", checkpoint, tmp_path / "in", "--factor", "blur", "--output", tmp_path / "out")
    process = subprocess.Popen([sys.executable, "-m", "restore_lightning", *map(str, words)], stderr=subprocess.PIPE)
    while not list(tmp_path.glob("out/*.png")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.decode().splitlines()[-1] == "restore: interrupted"
    written = sorted((tmp_path / "out").iterdir())
    assert 0 < len(written) < 200
    assert [path.name for path in written] == [f"{number:03d}.png" for number in range(len(written))]
    assert {read_image(path).shape for path in written} == {(3, 200, 280)}


def test_unreadable_files_are_named_and_the_others_done(checkpoint, restore, photos, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.png").write_bytes((photos / "a.png").read_bytes())
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    code, out, err = restore("apply", checkpoint, folder, "--factor", "jpeg", "--output", tmp_path / "out")
    assert code == 1
    assert "1 of 3 images restored" in out
    assert "empty.png" in err
    assert "text.jpg" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_nothing_is_overwritten(checkpoint, restore, photos, tmp_path):
    words = ("apply", checkpoint, photos / "a.png", "--factor", "blur", "--output", tmp_path)
    (tmp_path / "a.png").write_text("mine")
    code, _, err = restore(*words)
    assert code == 2
    assert "give --overwrite" in err
    assert (tmp_path / "a.png").read_text() == "mine"
    assert restore(*words, "--overwrite")[0] == 0
    assert Image.open(tmp_path / "a.png").size == (280, 200)


def test_inputs_are_never_replaced(checkpoint, restore, photos, tmp_path):
    (tmp_path / "a.png").write_bytes((photos / "a.png").read_bytes())
    code, _, err = restore("apply", checkpoint, tmp_path, "--factor", "rain", "--output", tmp_path, "--overwrite")
    assert code == 2
    assert "would replace the input" in err


WRONG = {
    "no factor": ((), "no --factor given: this network has rain, blur, jpeg, haze"),
    "an order that misses a factor": (("--order", "rain,haze"), "--order [rain, haze]: missing: blur, jpeg"),
    "an order with an unknown factor": (("--order", "rain,haze,jpeg,fog"), "unknown: fog; missing: blur"),
    "an order that repeats a factor": (("--order", "rain,blur,jpeg,haze,rain"), "named twice: rain"),
    "an order of one factor twice": (("--order", "rain,rain"), "--order [rain, rain]: named twice: rain; missing: "),
    "factor and order": (("--factor", "rain", "--order", "rain,blur,jpeg,haze"), "not allowed with argument --factor"),
    "an unknown factor": (("--factor", "fog"), "unknown --factor fog: this network has rain, blur, jpeg, haze"),
    "no tile": (("--factor", "rain", "--tile", 0), "--tile 0: give at least 1 pixel"),
    "a tile that is too small": (
        ("--factor", "blur", "--tile", 16, "--overlap", 0),
        "--tile 16: the network takes images from 32 pixels on, give at least that",
    ),
    "an overlap of nothing": (("--factor", "rain", "--overlap", 8), "--overlap 8 is of tiles: give --tile too"),
    "an overlap that is the tile": (
        ("--factor", "rain", "--tile", 64, "--overlap", 64),
        "--overlap 64: give 0 or more pixels, less than the tile's 64",
    ),
    "tiles that do not move on": (
        ("--factor", "blur", "--tile", 64, "--overlap", 60),
        "--overlap 60: tiles of 64 pixels lie 16 pixels apart or a multiple of that, give at most 48",
    ),
    "no statistics": (("--factor", "rain", "--local-statistics", -1), "--local-statistics -1: give at least 1 pixel"),
    "an unknown device": (("--factor", "rain", "--device", "tpu9"), "--device tpu9"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(case, checkpoint, restore, photos, tmp_path):
    words, message = WRONG[case]
    code, _, err = restore("apply", checkpoint, photos, "--output", tmp_path / "out", *words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_missing_and_colliding_inputs(checkpoint, restore, photos, tmp_path):
    def apply(*inputs):
        code, _, err = restore("apply", checkpoint, *inputs, "--factor", "rain", "--output", tmp_path / "out")
        assert code == 2
        return err

    assert "no such file or folder" in apply(tmp_path / "nothing.png")
    (tmp_path / "out").touch()
    assert "is a file: name a folder" in apply(photos)
    (tmp_path / "out").unlink()
    words = (photos / "a.png", "--factor", "rain", "--output", tmp_path / "b.png")
    assert "name a folder, files keep their names" in restore("apply", checkpoint, *words)[2]
    (tmp_path / "empty").mkdir()
    assert "no images in" in apply(tmp_path / "empty")
    assert "several inputs would become" in apply(photos / "a.png", photos)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_hostile_and_foreign_checkpoints(restore, photos, tmp_path):
    def refused(name):
        code, _, err = restore("apply", tmp_path / name, photos, "--factor", "rain", "--output", tmp_path / "out")
        assert code in (1, 2)
        assert "Traceback" not in err
        return err

    torch.save({"state_dict": Evil(tmp_path / "pwned")}, tmp_path / "evil.ckpt")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil(tmp_path / "pwned")))
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    call = {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path / 'pwned'}"}}
    torch.save({"network": call, "state_dict": {}}, tmp_path / "call.ckpt")
    gone = {"class_path": "restore_lightning.networks.Gone", "init_args": {}}
    torch.save({"network": gone, "state_dict": {}}, tmp_path / "gone.ckpt")
    other = {"class_path": "restore_lightning.networks.MBN", "init_args": {"width": 2}}
    torch.save({"network": other, "state_dict": {}}, tmp_path / "other.ckpt")
    assert "cannot be read" in refused("evil.ckpt")
    assert "cannot be read" in refused("evil.pth")
    assert "does not say how its network was built" in refused("foreign.ckpt")
    assert "which is no torch.nn.Module" in refused("call.ckpt")
    assert "cannot be imported" in refused("gone.ckpt")
    assert "do not fit" in refused("other.ckpt")
    assert "no such file" in refused("nothing.ckpt")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "out").exists()


def test_restored_images_differ_from_their_input_where_the_network_does(checkpoint, restore, photos, tmp_path):
    restore("apply", checkpoint, photos / "a.png", "--factor", "haze", "--output", tmp_path)
    before, after = (np.asarray(Image.open(path)).astype(int) for path in (photos / "a.png", tmp_path / "a.png"))
    assert 0 < np.abs(before - after).mean() < 60
