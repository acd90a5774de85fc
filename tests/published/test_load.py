"""The released networks: golden outputs, names, shapes, and what is refused."""

import json
import sys

import numpy as np
import pytest
import torch

from restore_lightning.errors import UserError
from restore_lightning.inference import PAPER_ORDER, restore, restore_in_order
from restore_lightning.networks import DIN, MBN, DuRN
from restore_lightning.published import NETWORKS, card, import_network, load_network

GOLDEN = {
    "DuRN_P": "DuRN_P",
    "DuRN_P_no_norm": "DuRN_P_no_norm",
    "DuRN_U": "DuRN_U",
    "DuRN_S": "DuRN_S",
    "DRN_7_7": "DRN",
    "DRN_5_5": "DRN",
    "DIN_x2": "DIN_x2",
    "DIN_x4": "DIN_x4",
}
PAPERS = [name for name in NETWORKS if card(name)["scores"]]
"""Networks of the papers that this package reproduces; tests/published/test_modern.py has the others."""
SMALL = {
    **{key: {"width": 8, "encoders": [1, 2], "middle": 1, "decoders": [2, 1]} for key in ("NAFNet", "NAFNetLocal")},
    "Restormer": {"width": 8, "blocks": [1, 2, 1, 1], "refinement": 1},
    "PromptIR": {
        "width": 8,
        "blocks": [1, 1, 2, 1],
        "refinement": 2,
        "prompts": 3,
        "prompt_channels": [4, 8, 12],
        "prompt_sizes": [8, 4, 2],
    },
}
"""Arguments of small networks of the others."""
PRECISIONS = [(torch.float64, 1e-6), (torch.float32, 1e-4)]


@pytest.fixture(scope="session")
def names(shared):
    return json.loads((shared / "golden/official_names.json").read_text())


@pytest.fixture(scope="session")
def released(shared, names):
    """Name of a network -> the golden weights under the authors' names."""
    sys.path.insert(0, str(shared / "golden"))
    from golden_weights import state

    def make(name, dtype=torch.float64):
        arrays = state(names[name], 0.5 if name == "DRN" else 1.0)
        tensors = {key: torch.as_tensor(array) for key, array in arrays.items()}
        return {key: t.to(dtype) if t.is_floating_point() else t for key, t in tensors.items()}

    return make


@pytest.fixture(scope="session")
def golden(shared):
    """Name of a file -> its arrays."""
    return lambda name: {k: torch.from_numpy(v).double() for k, v in np.load(shared / f"golden/{name}.npz").items()}


def random_weights(name, gain=0.02, **changed):
    """Weights of a network under the authors' names, without any file."""
    arguments = import_arguments(name) | changed
    with torch.device("meta"):  # for its names and shapes
        network = NETWORKS[name].network(**arguments)
    shapes = published(name).names(network)
    generator = torch.Generator().manual_seed(0)

    def tensor(key, shape):
        if key.endswith("num_batches_tracked"):
            return torch.zeros(shape, dtype=torch.long)
        values = gain * torch.randn(shape, generator=generator)
        return 1 + values.abs() if key.endswith("running_var") else values

    return {key: tensor(key, shape) for key, shape in shapes.items()}


def published(name):
    return NETWORKS[name].module


def import_arguments(name):
    return published(name).arguments(name, {}, {})


def error(found, expected):
    return float((found.cpu() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("file", GOLDEN)
def test_golden_single_factor_networks(file, dtype, tolerance, released, golden, device):
    name, stored = GOLDEN[file], golden(file)
    hyperparameters = {"T": 5, "R": 5} if file == "DRN_5_5" else None
    network = load_network(name, released(name, dtype), hyperparameters).to(device)
    assert not network.training
    image = stored["input"].to(device, dtype)
    with torch.no_grad():
        output = network(image)
        assert output.dtype == dtype
        assert error(output, stored["output"]) < tolerance
        if "stages" in stored:
            stages = network.stages(image)
            assert len(stages) == len(stored["stages"])
            assert error(torch.stack(stages), stored["stages"]) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_golden_outputs_of_mbn(released, golden, dtype, tolerance, device):
    network, stored = load_network("MBN", released("MBN", dtype)).to(device), golden("MBN")
    found = {}
    with torch.no_grad():
        for factor in network.info.factors:
            images = network(stored["input"].to(device, dtype), factor)
            scales = [factor] if len(images) == 1 else [f"{factor}_{s}" for s in ("coarse", "mid", "fine")]
            found |= dict(zip(scales, images, strict=True))
    assert found.keys() == stored.keys() - {"input"}
    for name, image in found.items():
        assert image.dtype == dtype
        assert error(image, stored[name]) < tolerance, name


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_golden_recurrent_passes(released, golden, dtype, tolerance, device):
    passes, network = golden("R-MBN"), load_network("MBN", released("MBN", dtype)).to(device)
    with torch.no_grad():
        found = restore_in_order(network, passes["input"].to(device, dtype), PAPER_ORDER)
    for name, image in zip(PAPER_ORDER, found, strict=True):
        assert image.dtype == dtype
        assert error(image, passes[name]) < tolerance, name


@pytest.mark.parametrize("name", PAPERS)
def test_names_are_the_released_ones(name, names):
    assert set(PAPERS) == set(names)
    network, _ = import_network(name, random_weights(name))
    assert published(name).names(network) == {key: tuple(shape) for key, shape in names[name].items()}
    assert card(name)["parameters"] == (
        sum(p.numel() for p in network.parameters()) + (name == "DuRN_S_P")  # the released one has an unused number
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_cards_are_complete(name):
    described = card(name)
    assert described["network"] == name
    for key in ("title", "authors", "published", "repository", "licence", "trained_on", "notes"):
        assert isinstance(described[key], str), key
        assert described[key], key
    factors = {"MBN": ["rain", "blur", "jpeg", "haze"], "DRN": "rain", "DuRN_U": "blur", "DuRN_US": "haze"}
    factors |= {"NAFNet": "noise", "NAFNetLocal": "blur"}
    factors |= {"Restormer": ["blur", "rain", "noise"], "PromptIR": ["noise", "rain", "haze"]}
    factors |= {"DuRN_S": "rain", "DuRN_S_P": "raindrop"} | dict.fromkeys(("DuRN_P", "DuRN_P_no_norm"), "noise")
    assert described["factor"] == factors.get(name, "downscale")
    for score in described["scores"]:
        assert set(score) == {"set", "protocol", "psnr", "ssim", "source"}


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("MBN", lambda: MBN()),
        ("DuRN_U", lambda: DuRN("U")),  # another eps
        ("DIN_x2", lambda: DIN(2)),  # first node, bicubic skip
    ],
)
def test_quirks_are_off_for_new_training(name, new, released, golden):
    network, ours = load_network(name, released(name)), new().double().eval()
    ours.load_state_dict(network.state_dict())
    image, factor = golden(name)["input"], ["blur"] if name == "MBN" else []
    with torch.no_grad():
        one, other = (net(image, *factor) for net in (network, ours))
        one, other = (net[-1] if factor else net for net in (one, other))
    assert not torch.equal(one, other)


def test_released_instance_norm_adds_its_scale_again():
    weights = random_weights("DuRN_U")
    network = load_network("DuRN_U", weights)
    assert torch.equal(network.front[0][1].bias, weights["norm1.norm.scale"])
    assert torch.equal(network.front[0][1].weight, weights["norm1.norm.scale"])
    assert network.front[0][1].eps == 1e-9


def test_released_raindrop_network_works_in_bgr():
    network = load_network("DuRN_S_P", random_weights("DuRN_S_P", gain=0.05))
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        raw = network(image.flip(1)).flip(1).clamp(0, 1)
        torch.testing.assert_close(restore(network, image), raw, rtol=0, atol=1e-6)
        assert (restore(network, image) - network(image).clamp(0, 1)).abs().max() > 1e-3


SIZES = {
    "DRN": [{"T": 3, "R": 2, "resblocks": 1}, {"T": 5, "R": 5, "width": 6}, {"T": 8, "R": 8, "resblocks": 2}],
    "DuRN_P": [{"width": 4}, {"image_channels": 3}],
    "DuRN_P_no_norm": [{"width": 6}, {"image_channels": 1}],
    "DuRN_U": [{"width": 4}],
    "DuRN_US": [{"width": 4}, {"blocks": [["US", 3, 3, 1]] * 12}],
    "DuRN_S": [{"width": 4}, {"blocks": [["S", 3, 5, d] for d in (1, 1, 2, 2, 1, 3)]}],
    "DuRN_S_P": [{"width": 4}],
    "DIN_x2": [{"D": 2, "B": 1, "M": 3, "growth": 4, "width": 8}, {"D": 1, "B": 2, "M": 1, "growth": 3, "width": 4}],
    "DIN_x3": [{"D": 2, "B": 4, "M": 2, "growth": 4, "width": 8}],
    "DIN_x4": [{"D": 3, "B": 2, "M": 5, "growth": 5, "width": 12}],
    "DIN_x8": [{"D": 2, "B": 3, "M": 2, "growth": 4, "width": 8}],
}


@pytest.mark.parametrize(("name", "changed"), [(name, each) for name, sizes in SIZES.items() for each in sizes])
def test_hyperparameters_are_read_off_the_shapes(name, changed):
    weights = random_weights(name, **changed)
    given = {key: value for key, value in changed.items() if key in ("T", "R")}
    network, spec = import_network(name, weights, given)
    for key, value in changed.items():
        assert spec["init_args"][key] == value, key
    built = NETWORKS[name].network(**spec["init_args"])  # as restore apply does from a converted checkpoint
    built.load_state_dict(network.state_dict())
    image = torch.rand(1, network.info.channels, 16, 24)
    with torch.no_grad():
        assert torch.equal(built.eval()(image), network(image))


def test_dilations_are_given_where_the_blocks_are_not_the_papers():
    blocks = [["P", 3, 3, 1], ["P", 5, 3, 2]]
    weights = random_weights("DuRN_P", blocks=blocks)
    _, spec = import_network("DuRN_P", weights, {"dilations": [1, 2]})
    assert spec["init_args"]["blocks"] == blocks
    with pytest.raises(
        UserError, match=r"dilations \[1, 2, 3\]: give one number for each of the checkpoint's 2 blocks"
    ):
        load_network("DuRN_P", weights, {"dilations": [1, 2, 3]})
    with pytest.raises(UserError, match=r"missing: block3\.conv1"):
        load_network("DuRN_P", weights)


@pytest.mark.parametrize("name", ["MBN", "DuRN_S", "DRN", "DIN_x8"])
def test_data_parallel_prefix_and_file(name, tmp_path):
    weights = random_weights(name)
    torch.save({f"module.{key}": tensor for key, tensor in weights.items()}, tmp_path / "their.pth")
    torch.save({"state_dict": weights}, tmp_path / "nested.pth")
    networks = [load_network(name, source) for source in (weights, tmp_path / "their.pth", tmp_path / "nested.pth")]
    first, *others = (network.state_dict() for network in networks)
    for other in others:
        for key, tensor in first.items():
            assert torch.equal(tensor, other[key]), key


def test_the_network_does_not_share_memory_with_the_checkpoint():
    weights = random_weights("DRN")
    network = load_network("DRN", weights)
    before = network.read.weight.clone()
    weights["conv0.0.weight"].zero_()
    assert torch.equal(network.read.weight, before)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("MBN", "dec_1.conv2.conv2d.bias"),
        ("DuRN_P", "block6.up_conv.conv2d.weight"),
        ("DuRN_U", "norm2.norm.shift"),
        ("DuRN_US", "rud12.se.se.fc.2.weight"),
        ("DuRN_S_P", "prelu.weight"),
        ("DRN", "conv.0.bias"),
        ("DIN_x3", "WRDB4_5.conv2_2.weight"),
    ],
)
def test_wrong_names_and_shapes_are_refused_with_both_lists(name, tensor):
    weights = random_weights(name)
    changed = list(weights)[len(weights) // 2]
    assert tensor != changed
    del weights[tensor]
    weights["dec_9.bias"] = torch.zeros(3)
    weights[changed] = torch.zeros(4, 9)
    with pytest.raises(UserError) as refused:
        load_network(name, weights)
    for part in (f"1 missing: {tensor}", "1 unknown: dec_9.bias", f"{changed} is (4, 9), needs"):
        assert part in str(refused.value)


def test_the_unused_copy_is_required():
    weights = {name: tensor for name, tensor in random_weights("MBN").items() if ".down_se." not in name}
    with pytest.raises(UserError, match="missing"):
        load_network("MBN", weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_another_networks_weights_are_refused(name):
    other = "DRN" if name != "DRN" else "DuRN_P"
    with pytest.raises(UserError, match=f"not the released weights of {name}: .* missing: .* unknown: "):
        load_network(name, random_weights(other))


def test_super_resolution_weights_of_another_scale_are_refused():
    small = {"D": 1, "B": 1, "M": 1, "growth": 2, "width": 4}
    with pytest.raises(UserError, match="UPNet"):
        load_network("DIN_x2", random_weights("DIN_x3", **small))


def test_wrong_calls(tmp_path):
    (tmp_path / "no.pth").write_bytes(b"not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"unknown network 'NBM': choose one of MBN, DuRN_P, .*, DRN, DIN_x2"):
        load_network("NBM", {})
    with pytest.raises(UserError, match="cannot be read"):
        load_network("MBN", tmp_path / "no.pth")
    with pytest.raises(UserError, match=r"nowhere.pth: no such file"):
        load_network("MBN", tmp_path / "nowhere.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        load_network("DRN", tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"MBN: hyper-parameters T given, .* give none"):
        load_network("MBN", {}, {"T": 7})
    with pytest.raises(UserError, match="give T, R only"):
        load_network("DRN", random_weights("DRN"), {"D": 7})
    with pytest.raises(UserError, match="DRN: T=0: a whole number, at least 1"):
        load_network("DRN", random_weights("DRN"), {"T": 0})
    with pytest.raises(UserError, match="DRN: "):
        load_network("DRN", random_weights("DRN"), {"T": "seven"})


def bad(change):
    weights = random_weights("DRN")
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.update({"conv.0.bias": torch.zeros(1).expand(10**9)}), "claims more numbers than it holds"),
        (lambda w: w.update({"conv.0.bias": torch.zeros(3, dtype=torch.complex64)}), "no real numbers"),
        (lambda w: w.update({"conv.0.bias": torch.zeros(3, dtype=torch.int32)}), "no real numbers"),
        (lambda w: w.update({"conv.0.bias": torch.zeros(3, device="meta")}), "no real numbers"),
        (lambda w: w.update({"conv.0.bias": torch.zeros(3).to_sparse()}), "no real numbers"),
        (lambda w: w.update({"conv.0.bias": torch.zeros(3).double()}), "mixes torch.float32 and torch.float64"),
        (lambda w: w.update({"module.conv.0.bias": torch.zeros(3)}), "with and without the prefix"),
        (lambda w: w.update({1: torch.zeros(3)}), "1 in the checkpoint is no tensor with a name"),
    ],
)
def test_hostile_tensors(change, message):
    with pytest.raises(UserError, match=message):
        load_network("DRN", bad(change))


def test_names_without_end_are_refused_at_once():
    weights = random_weights("DIN_x2") | {f"WRDB{number}_1.x": torch.zeros(1) for number in range(5, 4000)}
    with pytest.raises(UserError, match=r"3995 unknown: .* and 3975 more") as refused:
        load_network("DIN_x2", weights)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("given", "message"), [({"T": True}, "T=True"), ({"R": 2.5}, "R=2.5"), ({"T": None}, "T=None")]
)
def test_hyperparameters_are_whole_numbers(given, message):
    with pytest.raises(UserError, match=f"{message}: a whole number"):
        load_network("DRN", random_weights("DRN"), given)
    with pytest.raises(UserError, match=r"dilation=1.5: a whole number"):
        load_network("DuRN_P", random_weights("DuRN_P"), {"dilations": [1.5] * 6})


def test_counters_may_be_missing_as_in_old_checkpoints():
    weights = {name: t for name, t in random_weights("DuRN_P").items() if "num_batches" not in name}
    assert int(load_network("DuRN_P", weights).front[0][1].num_batches_tracked) == 0


def test_a_file_of_another_network_is_recognised(tmp_path):
    with pytest.raises(UserError, match="their names are those of DRN"):
        load_network("DuRN_S", random_weights("DRN"))
    torch.save({"network": {}, "state_dict": {}}, tmp_path / "ours.ckpt")
    with pytest.raises(UserError, match="was written by restore fit or restore convert: use it as it is"):
        load_network("DRN", tmp_path / "ours.ckpt")
