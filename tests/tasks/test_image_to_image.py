"""One task for any network from image to image: its loss, its runs from outside, networks of the user's own."""

import json
import sys
import textwrap
from importlib import import_module

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from restore_lightning.checkpoints import load_trained
from restore_lightning.errors import UserError
from restore_lightning.inference import InferenceSettings
from restore_lightning.inference import restore as restore_image
from restore_lightning.io.images import read_image, to_float, to_uint8
from restore_lightning.losses import SSIML1, ssim_l1
from restore_lightning.networks import DIN, DRN, MBN, DuRN
from restore_lightning.tasks import ImageToImageTask
from tests.conftest import CONF
from tests.published.test_load import SMALL, random_weights

SINGLE = CONF / "single.yaml"

OWN = """
    from torch import nn
    from torch.nn import functional

    from restore_lightning.networks import NetworkInfo, SizeRule


    class Plain(nn.Module):
        '''An image to an image, of any size.'''

        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1))

        def forward(self, image):
            return image + self.layers(image)


    class Pyramid(nn.Module):
        '''Sides that 4 divides to a list of images, coarsest first.'''

        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.ModuleList()  # names of ours that mean something else here
            self.factors = [2, 2]
            self.down = nn.Conv2d(3, 4, 4, stride=4)
            self.up = nn.ConvTranspose2d(4, 3, 4, stride=4)

        def forward(self, image):
            fine = self.up(self.down(image)) + image
            return [functional.avg_pool2d(fine, 2), fine]


    class Declared(Pyramid):
        '''The same, which says itself what sides it takes.'''

        info = NetworkInfo(channels=3, scale=1, sizes=SizeRule(4, 4))
"""


ODD = """
    import enum

    import torch
    from torch import nn


    class Colour(enum.Enum):
        RED = 1


    class Base(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, image):
            return self.layer(image)


    class Enumerated(Base):
        def __init__(self, colour: Colour = Colour.RED) -> None:
            super().__init__()


    class Wrapped(Base):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner


    class Needy(Base):
        def __init__(self, channels) -> None:
            super().__init__()
            self.other = nn.Conv2d(3, channels % 5, 3)


    class Mapped(Base):
        def forward(self, image):
            return {"image": self.layer(image)}


    class Halving(Base):
        def forward(self, image):
            return self.layer(image)[..., ::2, ::2]


    class Loss(nn.Module):
        # With a tensor of its own.
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, restored, clean):
            return self.scale * (restored - clean).abs().mean()


    class Unreduced(nn.Module):
        def forward(self, restored, clean):
            return (restored - clean).abs()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Files with networks of the user's own, in the folder where the command is called."""
    for module, text in (("mynetworks", OWN), ("oddities", ODD)):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)
    yield tmp_path

    for module in ("mynetworks", "oddities"):
        sys.modules.pop(module, None)


def batch(size=16, scale=1):
    generator = torch.Generator().manual_seed(1)
    degraded = torch.rand(2, 3, size, size, generator=generator)
    return {"degraded": degraded, "clean": torch.rand(2, 3, scale * size, scale * size, generator=generator)}


def test_the_loss_of_drn_is_paper_4s():
    """Eq. 2 and 3 with the weights of section 3."""
    network, images = DRN(), batch()
    task = ImageToImageTask(network, SSIML1(1.0, 0.0), "increasing")
    weights = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.7]
    stages = network.stages(images["degraded"])
    expected = sum(w * ssim_l1(x, images["clean"], 1.0, 0.0) for w, x in zip(weights, stages, strict=True))
    assert float(task.loss(images)) == pytest.approx(float(expected), rel=1e-6)
    task = ImageToImageTask(network, SSIML1(1.0, 0.0), weights)
    assert float(task.loss(images)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(("loss", "expected"), [(nn.L1Loss(), "l1"), (nn.MSELoss(), "mse"), (None, "ssim")])
def test_losses(loss, expected):
    network, images = DuRN("P-no-norm", width=4), batch()
    output, clean = network(images["degraded"]), images["clean"]
    by_hand = {
        "l1": (output - clean).abs().mean(),
        "mse": ((output - clean) ** 2).mean(),
        "ssim": ssim_l1(output, clean),
    }
    assert torch.equal(ImageToImageTask(network, loss).loss(images), by_hand[expected])


def test_coarse_outputs_are_compared_with_the_small_clean_image(own):
    monkey = own / "mynetworks.py"
    assert monkey.is_file()

    sys.path.insert(0, str(own))
    try:
        network, images = import_module("mynetworks").Pyramid(), batch()
    finally:
        sys.path.remove(str(own))
    coarse, fine = network(images["degraded"])
    small = torch.nn.functional.interpolate(images["clean"], scale_factor=0.5, mode="bicubic")
    expected = 0.5 * (coarse - small).abs().mean() + (fine - images["clean"]).abs().mean()
    loss = ImageToImageTask(network, nn.L1Loss(), [0.5, 1.0]).loss(images)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_what_does_not_fit_is_said_at_the_first_step():
    with pytest.raises(UserError, match=r"result is 3x32x32, the clean image 3x48x48 .* scale"):
        ImageToImageTask(DIN(2, D=1, B=1, M=1, growth=2, width=4), nn.L1Loss()).loss(batch(scale=3))
    with pytest.raises(UserError, match="output_weights has 2 numbers, the network 7 outputs"):
        ImageToImageTask(DRN(), None, [1.0, 1.0]).loss(batch())
    with pytest.raises(ValueError, match="MBN has branches for several factors: use MultiBranchTask"):
        ImageToImageTask(MBN(width=2, stem=[(3, 3, 1)]))
    with pytest.raises(ValueError, match="DRN declares its sizes itself"):
        ImageToImageTask(DRN(), size_multiple=4)
    with pytest.raises(ValueError, match="local_statistics: the network takes no statistics over whole images"):
        ImageToImageTask(DRN(), inference=InferenceSettings(local_statistics=64))


def test_inference_is_how_images_are_restored():
    torch.manual_seed(0)
    network = DuRN("US", width=4).eval()
    inference = InferenceSettings(tile=48, overlap=16, local_statistics=32, self_ensemble=True)
    task = ImageToImageTask(network, inference=inference)
    image = torch.rand(1, 3, 60, 90)
    with torch.no_grad():
        assert torch.equal(task.restorer().restore(image, ["haze"]), restore_image(network, image, settings=inference))
        assert not torch.equal(task.restorer().restore(image, ["haze"]), restore_image(network, image))
    assert task.title == "DuRN+"


def test_self_ensemble_is_the_mean_of_eight():
    network = DuRN("P-no-norm", width=4).eval()
    image = torch.rand(1, 3, 16, 20)
    turned = []
    with torch.no_grad():
        for turns in range(4):
            for flip in (False, True):
                given = np.rot90(image.numpy(), turns, (2, 3))
                given = given[..., ::-1] if flip else given
                output = network(torch.from_numpy(given.copy())).numpy()
                output = output[..., ::-1] if flip else output
                turned.append(np.rot90(output, -turns, (2, 3)))
        found = restore_image(network, image, settings=InferenceSettings(self_ensemble=True))
    np.testing.assert_allclose(found.numpy(), np.mean(turned, axis=0).clip(0, 1), atol=1e-6)
    assert not torch.equal(found, restore_image(network, image))


@pytest.mark.parametrize("network", [DRN(2, 2), DIN(2, D=1, B=1, M=1, growth=2, width=4)])
def test_self_ensemble_of_larger_images(network):
    scale = 2 if isinstance(network, DIN) else 1
    with torch.no_grad():
        restored = restore_image(network, torch.rand(2, 3, 9, 5), settings=InferenceSettings(self_ensemble=True))
    assert restored.shape == (2, 3, 9 * scale, 5 * scale)


def test_a_gray_network_restores_the_channels_of_a_colour_image():
    network = DuRN("P", width=4).eval()
    image = torch.rand(2, 3, 16, 18)
    with torch.no_grad():
        found = restore_image(network, image)
        for channel in range(3):
            assert torch.allclose(found[:, [channel]], network(image[:, [channel]]).clamp(0, 1), atol=1e-6)


def test_fit_resume_test_predict_apply(restore, tmp_path, photos):
    """The files of a run; a resumed run ends bit-identical."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for run, words in ((whole, ()), (parts, ("--trainer.max_steps", 2))):
        code, out, err = restore("fit", "--config", SINGLE, "--trainer.default_root_dir", run, *words)
        assert code == 0, err
        assert "DRN: 319 parameters" in out
    resumed = ("--trainer.max_steps", 4, "--ckpt_path", "last")
    code, _, err = restore("fit", "--config", parts / "config.yaml", *resumed)
    assert code == 0, err
    states = [torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (whole, parts)]
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key]), key

    for verb in ("validate", "test", "predict"):
        code, _, err = restore(verb, "--config", whole / "config.yaml")
        assert code == 0, err
    scores = json.loads((whole / "scores.json").read_text())
    assert scores["sets"]["rain"]["factor"] == "rain"
    assert scores["methods"] == {"restored": "DRN"}
    code, _, err = restore("apply", whole / "checkpoints/best.ckpt", photos / "a.png", "--output", tmp_path / "out")
    assert code == 0, err
    words = ("--self-ensemble", "--factor", "rain", "--output", tmp_path / "plus")
    code, _, err = restore("apply", whole / "checkpoints/best.ckpt", photos / "a.png", *words)
    assert code == 0, err
    assert not torch.equal(read_image(tmp_path / "out/a.png"), read_image(tmp_path / "plus/a.png"))


def test_short_names_on_the_command_line(restore, tmp_path):
    words = ("--model.network", "DuRN", "--model.network.preset", "US", "--model.network.width", 2)
    words += ("--model.loss", "torch.nn.L1Loss", "--trainer.default_root_dir", tmp_path)
    code, _, err = restore("fit", "--config", SINGLE, *words)
    assert code == 0, err
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["model"]["init_args"]["network"]["class_path"] == "restore_lightning.networks.DuRN"
    assert config["model"]["init_args"]["network"]["init_args"]["preset"] == "US"


@pytest.mark.parametrize(
    ("name", "multiple"), [("Plain", ()), ("Pyramid", ("--model.size_multiple", 4)), ("Declared", ())]
)
def test_a_network_of_ones_own(name, multiple, own, restore, photos, monkeypatch):
    """Trained, tested and applied without a LightningModule; sizes that it does not take are padded."""
    words = ("--model.network", f"mynetworks.{name}", *multiple, "--trainer.default_root_dir", own / "run")
    code, _, err = restore("fit", "--config", SINGLE, *words)
    assert code == 0, err
    code, _, err = restore("test", "--config", own / "run/config.yaml")
    assert code == 0, err
    last = own / "run/checkpoints/last.ckpt"
    Image.open(photos / "a.png").crop((0, 0, 37, 53)).save(own / "odd.png")

    # A checkpoint runs no code from the folder one happens to be in.
    del sys.modules["mynetworks"]
    code, _, err = restore("apply", last, own / "odd.png", "--output", own / "out")
    assert code == 2
    assert "mynetworks" in err
    assert "set PYTHONPATH to its folder" in err
    monkeypatch.syspath_prepend(own)
    code, _, err = restore("apply", last, own / "odd.png", "--output", own / "out")
    assert code == 0, err
    assert Image.open(own / "out/odd.png").size == (37, 53)


@pytest.mark.slow
def test_cascade_of_single_factor_networks(restore, tmp_path, step_2, own, photos, monkeypatch):
    """Baselines of an R-MBN: dedicated networks, among them one of the user's own, in an order or told."""
    monkeypatch.syspath_prepend(own)
    checkpoints = {}
    tiny = {"DuRN": "--model.network.preset U --model.network.width 2"}
    tiny["DIN"] = " ".join(f"--model.network.{key} 1" for key in ("D", "B", "M", "growth")) + " --model.network.width 4"
    for factor, network in {"rain": "DRN", "blur": "mynetworks.Plain", "jpeg": "DuRN", "haze": "DIN"}.items():
        words = ("--model.network", network, *tiny.get(network, "").split(), "--data.factors", f"{{{factor}: {{}}}}")
        run = tmp_path / factor
        code, _, err = restore("fit", "--config", SINGLE, *words, "--trainer.default_root_dir", run)
        assert code == 0, err
        checkpoints[factor] = str(run / "checkpoints/last.ckpt")
    order = ["jpeg", "haze", "blur", "rain"]
    baselines = {
        "cascade": {"checkpoint": checkpoints, "order": order},
        "dedicated": {"checkpoint": checkpoints},
        "ensemble": {"checkpoint": checkpoints, "inference": {"self_ensemble": True}},
    }
    words = ("--ckpt_path", step_2, "--model.order", "[haze, jpeg, rain, blur]", "--trainer.default_root_dir", tmp_path)
    words = (*words, "--data.test_sets", f"{{small: {{clean: {tmp_path / 'clean'}, factor: haze}}}}")
    (tmp_path / "clean").mkdir()
    Image.open(photos / "a.png").crop((0, 0, 72, 64)).save(tmp_path / "clean/a.png")
    test = ("test", "--config", CONF / "recurrent.yaml", *words, "--model.baselines")
    code, _, err = restore(*test, json.dumps(baselines))
    assert code == 0, err
    (entry,) = json.loads((tmp_path / "scores.json").read_text())["sets"].values()
    assert {"cascade", "dedicated", "ensemble"} <= entry.keys()
    assert entry["dedicated"] != entry["ensemble"] != entry["cascade"]

    # A checkpoint of one factor under another one's name.
    baselines = {"cascade": {"checkpoint": {"rain": checkpoints["haze"]}, "order": ["rain"]}}
    code, _, err = restore(*test, json.dumps(baselines))
    assert code == 2
    assert "is named for 'rain', its network has haze" in err


def test_init_from(restore, tmp_path):
    """Training starts from another run's weights, of the same network only."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert restore("fit", "--config", SINGLE, "--trainer.default_root_dir", first)[0] == 0
    start = ("--model.init_from", first / "checkpoints/last.ckpt", "--trainer.default_root_dir", second)
    zero = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.0")
    code, _, err = restore("fit", "--config", SINGLE, *start, *zero)
    assert code == 0, err
    states = [torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (first, second)]
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key]), key
    for words, message in (
        (("--model.network.T", 3), "T is 3, was 2"),
        (("--model.network.width", 4), "width is 4, was 2"),
        (("--model.init_from", "nowhere.ckpt"), "no such file"),
    ):
        code, _, err = restore("fit", "--config", SINGLE, *start, *words, "--overwrite")
        assert code == 2, words
        assert message in err
        assert len(err.strip().splitlines()) <= 4


def test_a_checkpoint_of_other_settings_is_not_tested(restore, tmp_path):
    """Shapes alone would not tell: T of another number."""
    assert restore("fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path)[0] == 0
    code, _, err = restore("test", "--config", tmp_path / "config.yaml", "--model.network.T", 5)
    assert code == 2
    assert "another network than the config's: T is 5, was 2" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data.factors", "{rain: {colour: gray}}"), "colour is gray, the network reads 3 channels"),
        (("--data.factors", "{rain: {colour: y}}"), "colour is y, the network reads 3 channels"),
        (("--data.crop_size", "5"), "crop_size 5 of factor 'rain': the network takes multiples of 1 from 6 on"),
        (("--model.network", "DuRN", "--model.network.preset", "U", "--data.crop_size", "18"), "the next is 20"),
        (("--model.network", "DuRN", "--model.network.preset", "U", "--model.network.style", "c"), "table 1"),
        (("--model.network", "DIM"), "network DIM: no class of this name; give DIN, DRN, DuRN, MBN, NAFNet, "),
        (("--model.network.TT", "5"), "TT"),
        (("--model.network", "MBN"), "use MultiBranchTask"),
        (("--model.loss", "L3Loss"), "loss L3Loss: no class of this name"),
        (("--model.network", "torch.optim.Adam"), "torch.optim.Adam does not correspond to a subclass of Module"),
        (("--model.network", "nowhere.Net"), "nowhere.Net: No module named 'nowhere'"),
        (("--model.output_weights", "[1.0]"), "output_weights has 1 numbers, the network 2 outputs: give 2"),
        (("--data.factors", "{rain: {repeats: 0}}"), "data.factors.rain.repeats 0: give at least 1"),
        (("--data.factors", "{rain: {degraded: x}}"), "degraded is given without data.factors.rain.clean"),
    ],
)
def test_wrong_input(words, message, restore, tmp_path):
    code, _, err = restore("fit", "--config", SINGLE, *words, "--trainer.default_root_dir", tmp_path / "run")
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "run/checkpoints").exists()


def test_to_uint8_of_what_apply_writes(restore, tmp_path, photos):
    """apply writes what the network says in Python."""
    assert restore("fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path)[0] == 0
    assert restore("apply", tmp_path / "checkpoints/last.ckpt", photos / "a.png", "--output", tmp_path / "out")[0] == 0
    from restore_lightning.checkpoints import load_trained

    trained = load_trained(tmp_path / "checkpoints/last.ckpt")
    assert (trained.factors, trained.order) == (("rain",), None)
    with torch.no_grad():
        expected = restore_image(trained.network, to_float(read_image(photos / "a.png"))[None])
    assert torch.equal(read_image(tmp_path / "out/a.png"), to_uint8(expected)[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--model.network", "oddities.Enumerated", "--model.network.colour", "RED"),
            "could not be built again from a checkpoint: its arguments colour (Colour) are no plain",
        ),
        (("--model.network", "oddities.Wrapped", "--model.network.inner", "DRN"), "built again"),
        (("--model.network", "oddities.Needy"), "oddities.Needy needs channels: give --model.network.channels"),
        (("--model.network", "oddities.Mapped"), "Mapped returns dict: it must return an image, or a list of images"),
        (("--model.network", "oddities.Halving"), "result is 3x8x8, the clean image 3x16x16"),
        (("--model.loss", "oddities.Unreduced"), "model.loss returns a tensor of shape (2, 3, 16, 16)"),
    ],
)
def test_what_cannot_be_trained(words, message, restore, own):
    code, _, err = restore("fit", "--config", SINGLE, *words, "--trainer.default_root_dir", own / "run")
    assert code == 2, err
    assert message in err
    assert not (own / "run/checkpoints").exists()


def test_a_loss_with_tensors_of_its_own(restore, own):
    """They are neither trained nor part of the network."""
    words = ("--model.loss", "oddities.Loss", "--trainer.default_root_dir", own / "run")
    code, _, err = restore("fit", "--config", SINGLE, *words)
    assert code == 0, err
    assert float(torch.load(own / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]["criterion.scale"]) == 1
    code, _, err = restore("test", "--config", own / "run/config.yaml", "--model.loss", "torch.nn.L1Loss")
    assert code == 0, err


def test_super_resolution_by_one_key_only(restore, tmp_path):
    words = ("--model.network.scale", 3, "--trainer.default_root_dir", tmp_path / "run", "--trainer.logger", "false")
    code, _, err = restore("fit", "--config", "din_sr.yaml", *words, "--trainer.accelerator", "cpu")
    assert code == 2
    assert "the network makes images 3 times larger, they are made 2 times smaller: give" in err


def test_images_that_do_not_fit_are_named_at_test(restore, tmp_path):
    """A set whose clean images are larger than what the network makes, and one of tiny images."""
    assert restore("fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path)[0] == 0
    for folder, size in (("small", (40, 32)), ("large", (80, 64)), ("tiny", (6, 6))):
        (tmp_path / folder).mkdir()
        Image.new("RGB", size).save(tmp_path / folder / "a.png")
    for degraded, clean, message in (
        ("small", "large", "set 'mine', image a: restored it is 3x32x40, the clean image 3x64x80"),
        ("tiny", "tiny", "set 'mine', image a: SSIM (skimage) needs 7x7 pixels"),
    ):
        sets = json.dumps({"mine": {"degraded": str(tmp_path / degraded), "clean": str(tmp_path / clean)}})
        code, _, err = restore("test", "--config", tmp_path / "config.yaml", "--data.test_sets", sets)
        assert code in (1, 2)
        assert message in err


def test_checkpoints_that_are_none_of_fits(restore, tmp_path):
    torch.save(random_weights("DRN"), tmp_path / "their.pth")
    assert restore("convert", "DRN", tmp_path / "their.pth", tmp_path / "our.ckpt")[0] == 0
    words = (
        "--config",
        "drn_rain100l.yaml",
        "--trainer.default_root_dir",
        tmp_path / "run",
        "--trainer.logger",
        "false",
    )
    words = (*words, "--trainer.accelerator", "cpu")
    code, _, err = restore("fit", *words, "--ckpt_path", tmp_path / "our.ckpt")
    assert code == 2
    assert "give it as --model.init_from" in err
    code, _, err = restore("test", *words, "--ckpt_path", tmp_path / "their.pth")
    assert code == 2
    assert "turn the authors' files into checkpoints by restore convert" in err
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    code, _, err = restore("apply", tmp_path / "their.pth", tmp_path / "a.png", "--output", tmp_path / "out")
    assert code == 2
    assert "by restore convert" in err


def test_resuming_on_other_data(restore, tmp_path, photos):
    """Pairs before, procedural scenes now: refused. Another number of draws: said."""
    pairs = {"degraded": str(photos), "clean": str(photos)}
    run = ("--trainer.default_root_dir", tmp_path / "run")
    sets = ("--data.val_sets", json.dumps({"x": pairs}))
    words = ("--data.factors", json.dumps({"rain": pairs}), *sets, "--trainer.max_steps", 2)
    code, _, err = restore("fit", "--config", SINGLE, *run, *words)
    assert code == 0, err
    code, _, err = restore("fit", "--config", SINGLE, *run, *sets, "--ckpt_path", "last")
    assert code == 2
    assert "the run was trained with data.factors' folders" in err
    words = ("--data.factors", json.dumps({"rain": pairs | {"repeats": 2}}), *sets)
    code, _, err = restore("fit", "--config", SINGLE, *run, *words, "--ckpt_path", "last")
    assert code == 0, err
    assert "resuming with other data: degradations of rain was" in err


@pytest.mark.parametrize(
    ("network", "loss"),
    [
        (
            {"class_path": "NAFNet", "init_args": SMALL["NAFNetLocal"] | {"train_size": 16}},
            {"class_path": "NegativePSNR"},
        ),
        ({"class_path": "Restormer", "init_args": SMALL["Restormer"]}, {"class_path": "Charbonnier"}),
        ({"class_path": "PromptIR", "init_args": SMALL["PromptIR"]}, {"class_path": "torch.nn.L1Loss"}),
    ],
)
def test_networks_of_all_in_one_restoration_train_and_resume(network, loss, tmp_path, restore, photos):
    config = yaml.safe_load(SINGLE.read_text())
    config["model"]["init_args"] |= {"network": network, "loss": loss}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run = ("--trainer.default_root_dir", tmp_path / "run")
    words = ("fit", "--config", tmp_path / "config.yaml", *run)
    code, _, err = restore(*words, "--trainer.max_steps", "2")
    assert code == 0, err
    code, _, err = restore(*words, "--ckpt_path", "last")
    assert code == 0, err
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 4
    trained = load_trained(last).network
    assert type(trained).__name__ == network["class_path"]
    code, _, err = restore("apply", last, photos / "a.png", "--output", tmp_path / "out")
    assert code == 0, err


class Viewing(nn.Module):
    """A network of someone else's, which looks at images as rows in memory."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image):
        batch, channels, height, width = image.shape
        return self.layer(image.view(batch * channels, 1, height, width)).view(image.shape)


def test_foreign_networks_and_losses_get_images_as_they_always_did():
    def loss(restored, clean):
        return (restored.view(len(restored), -1) - clean.view(len(clean), -1)).abs().mean()

    class Viewed(nn.Module):
        forward = staticmethod(loss)

    images = torch.rand(2, 2, 3, 16, 16)
    degraded, clean = (one.contiguous(memory_format=torch.channels_last) for one in images)
    for network in (Viewing(), DRN(T=1, R=1, width=4)):
        task = ImageToImageTask(network, Viewed())
        assert task.loss({"degraded": degraded, "clean": clean}).isfinite()
        assert restore_image(network, degraded).shape == clean.shape
