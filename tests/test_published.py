import json
import sys

import numpy as np
import pytest
import torch

from restore_lightning.errors import UserError
from restore_lightning.inference import ORDER, restore_in_order
from restore_lightning.networks import MBN
from restore_lightning.published import load_network
from restore_lightning.published.mbn import names


@pytest.fixture(scope="module")
def released(shared):
    """The golden weights under the authors' names, in float64."""
    sys.path.insert(0, str(shared / "golden"))
    from golden_weights import state

    shapes = json.loads((shared / "golden/official_names.json").read_text())["MBN"]
    return {name: torch.as_tensor(array) for name, array in state(shapes).items()}


@pytest.fixture(scope="module")
def golden(shared):
    return {name: torch.from_numpy(array) for name, array in np.load(shared / "golden/MBN.npz").items()}


def outputs(network, image):
    found = {}
    with torch.no_grad():
        for factor in network.factors:
            images = network(image, factor)
            scales = [factor] if len(images) == 1 else [f"{factor}_{s}" for s in ("coarse", "mid", "fine")]
            found |= dict(zip(scales, images, strict=True))
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_golden_outputs(released, golden, dtype, tolerance):
    network = load_network("MBN", {name: tensor.to(dtype) for name, tensor in released.items()})
    assert not network.training
    found = outputs(network, golden["input"].to(dtype))
    assert found.keys() == golden.keys() - {"input"}
    for name, image in found.items():
        assert image.dtype == dtype
        error = (image - golden[name]).abs().max() / golden[name].abs().max()
        assert error < tolerance, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_golden_recurrent_passes(released, shared, dtype, tolerance):
    passes = {name: torch.from_numpy(array) for name, array in np.load(shared / "golden/R-MBN.npz").items()}
    network = load_network("MBN", {name: tensor.to(dtype) for name, tensor in released.items()})
    with torch.no_grad():
        found = restore_in_order(network, passes["input"].to(dtype), ORDER)
    for name, image in zip(ORDER, found, strict=True):
        assert image.dtype == dtype
        assert (image - passes[name]).abs().max() / passes[name].abs().max() < tolerance, name


def test_quirks_are_off_for_new_training(released, golden):
    network = load_network("MBN", released)
    new = MBN().double()
    new.load_state_dict(network.state_dict())
    image = golden["input"].double()
    with torch.no_grad():
        assert not torch.allclose(new(image, "blur")[-1], network(image, "blur")[-1])
        assert torch.allclose(new(image, "haze")[-1], network(image, "haze")[-1])


def test_names_are_the_released_ones(shared):
    published = json.loads((shared / "golden/official_names.json").read_text())["MBN"]
    assert names(MBN()) == {name: tuple(shape) for name, shape in published.items()}


def random_weights():
    return {name: torch.randn(shape) * 0.01 for name, shape in names(MBN()).items()}


def test_data_parallel_prefix_and_file(tmp_path):
    weights = random_weights()
    torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, tmp_path / "mbn.pth")
    one, other = load_network("MBN", weights), load_network("MBN", tmp_path / "mbn.pth")
    for (name, mine), theirs in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name


def test_wrong_names_and_shapes_are_refused_with_both_lists():
    weights = random_weights()
    del weights["dec_1.conv2.conv2d.bias"]
    weights["dec_9.bias"] = torch.zeros(3)
    weights["dec_4.conv3.conv2d.bias"] = torch.zeros(4)
    with pytest.raises(UserError) as refused:
        load_network("MBN", weights)
    for part in (
        "1 missing: dec_1.conv2.conv2d.bias",
        "1 unknown: dec_9.bias",
        "dec_4.conv3.conv2d.bias is (4,), needs (3,)",
    ):
        assert part in str(refused.value)


def test_the_unused_copy_is_required():
    weights = {name: tensor for name, tensor in random_weights().items() if ".down_se." not in name}
    with pytest.raises(UserError, match="missing"):
        load_network("MBN", weights)


def test_wrong_calls(tmp_path):
    (tmp_path / "no.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="unknown network 'NBM': choose one of MBN"):
        load_network("NBM", {})
    with pytest.raises(UserError, match="cannot be read"):
        load_network("MBN", tmp_path / "no.pth")
    with pytest.raises(UserError, match="no free hyper-parameters"):
        load_network("MBN", {}, {"T": 7})
