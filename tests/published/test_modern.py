"""NAFNet, Restormer and PromptIR: golden outputs, names, shapes, containers, and what is refused."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from restore_lightning.errors import UserError
from restore_lightning.networks import parameters
from restore_lightning.published import NETWORKS, card, import_network, load_network
from tests.published.test_load import SMALL, published, random_weights

GOLDEN = {
    "NAFNet_small": ("NAFNet_small", {}),
    "NAFNet_small_local32": ("NAFNet_small", {"train_size": 32}),
    "NAFNet_SIDD_width32": ("NAFNet_SIDD_width32", {}),
    "NAFNet_GoPro_width32_local256": ("NAFNet_GoPro_width32", {"train_size": 256}),
    "Restormer_small": ("Restormer_small", {}),
    "Restormer_motion_deblurring": ("Restormer_motion_deblurring", {}),
    "Restormer_gaussian_color_denoising_padded": ("Restormer_gaussian_color_denoising", {}),
    "Restormer_dual_pixel_defocus_deblurring": ("Restormer_dual_pixel_defocus_deblurring", {}),
    "PromptIR_small": ("PromptIR_small", {}),
    "PromptIR_larger": ("PromptIR", {}),
}
LAYOUTS = {
    "NAFNet_GoPro_width32": 17_111_907,
    "NAFNet_GoPro_width64": 67_888_835,
    "NAFNet_SIDD_width32": 29_159_715,
    "NAFNet_SIDD_width64": 115_982_915,
    "Restormer_motion_deblurring": 26_126_644,
    "Restormer_gaussian_color_denoising": 26_111_668,
    "Restormer_gaussian_gray_denoising": 26_109_076,
    "Restormer_dual_pixel_defocus_deblurring": 26_132_548,
    "PromptIR": 35_376_967,
}
PRECISIONS = [(torch.float64, 1e-6), (torch.float32, 1e-4)]


def kind(layout, train_size=None):
    return layout.partition("_")[0] + ("Local" if train_size else "")


@pytest.fixture(scope="session")
def names(shared):
    return json.loads((shared / "golden/modern_names.json").read_text())


@pytest.fixture(scope="session")
def state(shared):
    sys.path.insert(0, str(shared / "golden"))
    from golden_weights import state

    return state


@pytest.mark.parametrize(
    ("file", "dtype", "tolerance"),
    [(file, *each) for file in GOLDEN for each in (PRECISIONS if "small" in file else PRECISIONS[:1])],
)
def test_golden_outputs(file, dtype, tolerance, shared, names, state, device):
    layout, given = GOLDEN[file]
    weights = {name: torch.as_tensor(array).to(dtype) for name, array in state(names[layout], 1.0).items()}
    network = load_network(kind(layout, given.get("train_size")), weights, given).to(device)
    assert not network.training
    stored = {name: torch.from_numpy(array) for name, array in np.load(shared / f"golden/{file}.npz").items()}
    image, (height, width) = stored["input"].to(device, dtype), stored["input"].shape[2:]
    multiple = network.info.sizes.multiple
    with torch.no_grad():
        output = network(pad(image, (0, -width % multiple, 0, -height % multiple), mode="reflect"))[
            ..., :height, :width
        ]
    assert output.dtype == dtype
    assert float((output.cpu() - stored["output"]).abs().max() / stored["output"].abs().max()) < tolerance


def placeholders(shapes):
    """Tensors of these shapes that cost nothing to make."""
    return {name: torch.empty(tuple(shape), dtype=torch.bfloat16) for name, shape in shapes.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_released_layouts(layout, names):
    name, weights = kind(layout), placeholders(names[layout])
    arguments = published(name).arguments(name, weights, {})
    with torch.device("meta"):
        network = NETWORKS[name].network(**arguments)
    assert published(name).names(network) == {key: tuple(shape) for key, shape in names[layout].items()}
    assert parameters(network) == LAYOUTS[layout]
    usual = {"NAFNet": "NAFNet_GoPro_width32", "Restormer": "Restormer_motion_deblurring"}
    assert card(name)["parameters"] == LAYOUTS[usual.get(name, name)]
    with torch.device("meta"):
        assert published(name).names(network) == published(name).names(type(network)(**arguments))
        if layout in (*usual.values(), "PromptIR"):  # the defaults
            defaults = type(network)()
            assert published(name).names(defaults) == published(name).names(network)


@pytest.mark.parametrize("layout", ["NAFNet_small", "Restormer_small", "PromptIR_small"])
def test_wrong_names_and_shapes_are_refused_with_both_lists(layout, names):
    name, weights = kind(layout), placeholders(names[layout])
    removed, changed = list(weights)[-1], list(weights)[len(weights) // 2]
    del weights[removed]
    weights |= {"decoder.9.bias": torch.zeros(3).bfloat16(), changed: torch.zeros(4, 9).bfloat16()}
    with pytest.raises(UserError) as refused:
        load_network(name, weights)
    for part in (
        f"these are not the released weights of {name}",
        f"1 missing: {removed}",
        "1 unknown: decoder.9.bias",
        f"{changed} is (4, 9), needs",
    ):
        assert part in str(refused.value)


SIZES = {
    "NAFNet": [
        SMALL["NAFNet"],
        {"width": 3, "encoders": [2], "middle": 3, "decoders": [1], "image_channels": 1},
        {"width": 4, "encoders": [0, 1, 1], "middle": 0, "decoders": [1, 0, 2]},
    ],
    "NAFNetLocal": [SMALL["NAFNet"]],
    "Restormer": [
        SMALL["Restormer"],
        {**SMALL["Restormer"], "bias": True, "expansion": 2.0},
        {**SMALL["Restormer"], "layer_norm": "BiasFree", "image_channels": 1, "expansion": 1.37},
        {"width": 12, "blocks": [2, 1, 1, 3], "refinement": 2, "heads": [2, 3, 4, 12], "dual_pixel": True},
        {"width": 6, "blocks": [1, 1, 1, 1], "refinement": 1, "heads": [1, 1, 1, 1], "expansion": 3.3333},
    ],
    "PromptIR": [
        SMALL["PromptIR"],
        {**SMALL["PromptIR"], "bias": True, "layer_norm": "BiasFree", "expansion": 2.5},
        {**SMALL["PromptIR"], "heads": [1, 2, 2, 2], "prompt_heads": 2, "image_channels": 1},
    ],
}


@pytest.mark.parametrize(("name", "changed"), [(name, each) for name, sizes in SIZES.items() for each in sizes])
def test_hyperparameters_are_read_off_the_shapes(name, changed):
    weights = random_weights(name, gain=0.1, **changed)
    given = {"train_size": 8} if name == "NAFNetLocal" else {}
    network, spec = import_network(name, weights, given)
    for key, value in (changed | given).items():
        if key != "expansion":
            assert spec["init_args"][key] == value, key
    built = NETWORKS[name].network(**spec["init_args"])  # as restore apply does from a converted checkpoint
    built.load_state_dict(network.state_dict())
    image = torch.rand(1, network.info.channels, 16, 24)
    with torch.no_grad():
        assert torch.equal(built.eval()(image), network(image))
    # Every tensor is used as it was given.
    published_state = published(name).translate(network, weights)
    assert all(torch.equal(tensor, published_state[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("expansion", [1.0, 2.0, 2.5, 2.66, 3.14, 4.0])
def test_expansions_are_the_round_ones(expansion):
    changed = {"width": 48, "blocks": [1, 1, 1, 1], "refinement": 1, "expansion": expansion}
    with torch.device("meta"):
        network = NETWORKS["Restormer"].network(**changed)
    weights = placeholders(published("Restormer").names(network))
    assert published("Restormer").arguments("Restormer", weights, {})["expansion"] == expansion


def wrapped(weights, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("NAFNet", lambda weights: {"params": weights}),
        ("NAFNet", lambda weights: {"params": wrapped(weights, "module.")}),
        ("Restormer", lambda weights: {"params_ema": weights, "params": {k: 2 * v for k, v in weights.items()}}),
        ("PromptIR", lambda weights: {"state_dict": wrapped(weights, "net."), "epoch": 119, "loops": {}}),
        ("PromptIR", lambda weights: {"state_dict": wrapped(weights, "module.net.")}),
        ("Restormer", lambda weights: wrapped(weights, "net.")),
    ],
)
def test_containers(name, container, tmp_path):
    weights = random_weights(name, **SMALL[name])
    torch.save(container(weights), tmp_path / "their.pth")
    networks = [load_network(name, source) for source in (weights, container(weights), tmp_path / "their.pth")]
    first, *others = (network.state_dict() for network in networks)
    for other in others:
        assert first.keys() == other.keys()
        assert all(torch.equal(tensor, other[key]) for key, tensor in first.items())


def test_both_prefixes_of_one_tensor():
    weights = random_weights("NAFNet", **SMALL["NAFNet"])
    with pytest.raises(UserError, match=r"holds intro\.bias with and without the prefix module\. or net\."):
        load_network("NAFNet", weights | {"net.intro.bias": weights["intro.bias"]})


def test_the_six_unused_convolutions_are_required_and_left_out():
    weights = random_weights("PromptIR", **SMALL["PromptIR"])
    unused = [name for name in weights if re.match(r"chnl_reduce|reduce_noise_channel", name)]
    assert len(unused) == 6
    network = load_network("PromptIR", weights)
    assert sum(t.numel() for t in weights.values()) - parameters(network) == sum(weights[n].numel() for n in unused)
    with pytest.raises(UserError, match=r"1 missing: chnl_reduce2\.weight"):
        load_network("PromptIR", {name: t for name, t in weights.items() if name != "chnl_reduce2.weight"})


def test_the_training_size():
    weights = random_weights("NAFNetLocal", **SMALL["NAFNetLocal"])
    assert import_network("NAFNetLocal", weights)[1]["init_args"]["train_size"] == 256
    with pytest.raises(UserError, match="NAFNet: train_size is a hyper-parameter of NAFNetLocal"):
        load_network("NAFNet", weights, {"train_size": 256})
    with pytest.raises(UserError, match="NAFNetLocal: train_size=0: a whole number, at least 1"):
        load_network("NAFNetLocal", weights, {"train_size": 0})
    with pytest.raises(UserError, match="give none"):
        load_network("Restormer", {}, {"train_size": 256})


@pytest.mark.parametrize(
    ("name", "stem"), [("NAFNet", "downs.{}.weight"), ("NAFNet", "intro.{}"), ("Restormer", "latent.{}.x")]
)
def test_names_without_end_are_refused_at_once(name, stem):
    weights = random_weights(name, **SMALL[name]) | {stem.format(n): torch.zeros(1) for n in range(9, 3000)}
    with pytest.raises(UserError) as refused:
        load_network(name, weights)
    assert len(str(refused.value)) < 3000


@pytest.mark.parametrize(("name", "other"), [("Restormer", "PromptIR"), ("PromptIR", "Restormer"), ("NAFNet", "DRN")])
def test_files_of_another_network_are_recognised(name, other):
    with torch.device("meta"):
        network = NETWORKS[other].network()
    weights = placeholders(published(other).names(network))
    with pytest.raises(UserError, match=f"not the released weights of {name}: .* their names are those of {other}"):
        load_network(name, weights)
