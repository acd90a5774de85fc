"""What restore fit or convert writes is read back as the same network, over the whole tables of hyper-parameters."""

import itertools

import pytest
import torch

from restore_lightning.checkpoint_files import FACTORS, MULTIPLE, ORDER, SPEC
from restore_lightning.checkpoints import load_trained
from restore_lightning.errors import UserError
from restore_lightning.inference import network_outputs
from restore_lightning.network_specs import architecture_difference
from restore_lightning.networks import DIN, DRN, MBN, DuRN
from restore_lightning.networks.durn import PRESETS
from restore_lightning.published import NETWORKS, load_network
from tests.published.test_load import SMALL, published

TINY_DIN = {"D": 1, "B": 2, "M": 2, "growth": 2, "width": 4}
TINY_MBN = {"width": 2, "stem": [[3, 3, 1]], "extra": [[3, 3, 1]] * 3}
TABLE = [
    *(
        (DuRN, {"preset": preset, "image_channels": channels, "width": 4, "style": style, "released": released})
        for preset, channels, style, released in itertools.product(PRESETS, (1, 3), "bcd", (False, True))
        if not (style == "c" and preset in ("U", "US"))
    ),
    (DuRN, {"preset": "S-P", "width": 6, "blocks": [["S", 3, 3, 4], ["P", 5, 3, 1]]}),
    *(
        (DRN, {"T": T, "R": R, "resblocks": resblocks, "width": width})
        for T, R, resblocks, width in itertools.product((1, 7), (1, 5), (1, 2), (4, 16))
    ),
    *(
        (DIN, {**TINY_DIN, "fusion": fusion, "dwc": dwc, "gff": gff, "released": released})
        for fusion, dwc, gff, released in itertools.product(
            ("asyca", "concat", "sum", "se"), (True, False), (True, False), (True, False)
        )
    ),
    *((DIN, {**TINY_DIN, "scale": scale}) for scale in (1, 2, 3, 4, 8)),
    *((DIN, {**TINY_DIN, key: value}) for key, value in (("stride", 4), ("D", 3), ("B", 1), ("M", 1), ("growth", 5))),
    *(
        (MBN, {**TINY_MBN, "design": design, "statistics": statistics, "fusion": fusion})
        for design, statistics, fusion in itertools.product(
            ("improved", "minimal", "minimal_text"), ([], ["mean"], ["tv"], ["mean", "tv"]), (True, False)
        )
    ),
    (MBN, {**TINY_MBN, "released": True, "iterations": 2}),
    (MBN, {"width": 2, "hierarchy": ["rain", ["blur", "fog"]], "pairs": {"fog": "multiscale"}, "scales": 2}),
]


def written(network, arguments, path):
    """A checkpoint as the tasks write it."""
    spec = {"class_path": f"restore_lightning.networks.{type(network).__name__}", "init_args": arguments}
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    factor = None if isinstance(network, MBN) else "rain"
    torch.save({"state_dict": state, SPEC: spec, ORDER: None, FACTORS: factor and [factor], MULTIPLE: None}, path)
    return path


def outputs(network):
    torch.manual_seed(1)
    image = torch.rand(1, network.info.channels, 64, 64)
    factors = network.info.factors or (None,)
    with torch.no_grad():
        return [output for factor in factors for output in network_outputs(network, image, factor)]


@pytest.mark.parametrize(("network_class", "arguments"), TABLE)
def test_round_trip(network_class, arguments, tmp_path):
    torch.manual_seed(0)
    network = network_class(**arguments).eval()
    trained = load_trained(written(network, arguments, tmp_path / "a.ckpt"))
    for mine, theirs in zip(outputs(network), outputs(trained.network), strict=True):
        assert torch.equal(mine, theirs)
    assert tuple(trained.networks) == (network.info.factors if network_class is MBN else ("rain",))
    assert architecture_difference(trained.spec, trained.spec) is None


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "MBN"])
def test_round_trip_through_the_authors_names(name):
    """Our network written under their names is read as the same network."""
    small = {"DIN": TINY_DIN, "DuRN": {"width": 4}, "DRN": {"resblocks": 1, "width": 5}} | SMALL
    module = published(name)
    torch.manual_seed(0)
    network = NETWORKS[name].network(**module.arguments(name, {}, {}) | small[name.partition("_")[0]]).eval()
    theirs = {their: torch.randn(shape) * 0.05 for their, shape in module.names(network).items()}
    for key in theirs:
        if "running_var" in key:
            theirs[key] = theirs[key].abs() + 1
        if "num_batches" in key:
            theirs[key] = torch.zeros((), dtype=torch.long)
    network.load_state_dict(module.translate(network, theirs))
    for mine, imported in zip(outputs(network), outputs(load_network(name, theirs)), strict=True):
        assert torch.equal(mine, imported)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({FACTORS: None}, "does not say which factors its network removes"),
        ({SPEC: {"class_path": "os.system"}}, "no torch.nn.Module"),
        ({SPEC: {"class_path": "nowhere.Net"}}, "set PYTHONPATH to its folder"),
        ({SPEC: None}, "was not written by restore fit"),
    ],
)
def test_checkpoints_that_say_too_little(changed, message, tmp_path):
    path = written(DRN(), {}, tmp_path / "a.ckpt")
    torch.save(torch.load(path, weights_only=True) | changed, path)
    with pytest.raises(UserError, match=message):
        load_trained(path)


def test_what_makes_another_network():
    def spec(**arguments):
        return {"class_path": "restore_lightning.networks.DIN", "init_args": arguments}

    assert architecture_difference(spec(scale=2), spec(scale=2, D=5)) is None  # a default
    assert architecture_difference(spec(released=True), spec()) == "released is True, was False"
    other = {"class_path": "restore_lightning.networks.din.DIN", "init_args": {"scale": 1}}
    assert architecture_difference(spec(), other) is None  # the same class by another path
    assert architecture_difference(spec(), {"class_path": "restore_lightning.networks.DRN"}).startswith("it is")
