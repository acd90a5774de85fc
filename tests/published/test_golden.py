"""Networks beside the same in NumPy, from the papers' equations: what needs no file of others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from restore_lightning.published import load_network
from scripts.golden.write import DRN_SIZES, vectors, weights_of

FOLDER = Path(__file__).parents[1] / "golden"
FILES = sorted(path.stem for path in FOLDER.glob("*.npz"))


@pytest.fixture(scope="module")
def computed():
    return vectors()


def test_the_script_makes_the_stored_vectors(computed):
    assert sorted(computed) == FILES
    for name, arrays in computed.items():
        with np.load(FOLDER / f"{name}.npz") as stored:
            assert sorted(stored) == sorted(arrays)
            for key, array in arrays.items():
                np.testing.assert_allclose(array, stored[key], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
@pytest.mark.parametrize("file", FILES)
def test_networks_equal_the_formulas(file, dtype, tolerance, device):
    network = file.partition("_")[0]
    weights = {name: torch.from_numpy(array).to(dtype) for name, array in weights_of(network).items()}
    given = dict(zip("TR", DRN_SIZES[file], strict=True)) if file in DRN_SIZES else None
    ours = load_network(network, weights, given).to(device)
    with np.load(FOLDER / f"{file}.npz") as stored:
        arrays = {name: torch.from_numpy(array) for name, array in stored.items()}
    image = arrays["input"].to(device, dtype)
    with torch.no_grad():
        found = {"output": ours(image)}
        if "stages" in arrays:
            found["stages"] = torch.stack(ours.stages(image))
    for name, tensor in found.items():
        assert tensor.dtype == dtype
        error = (tensor.cpu() - arrays[name]).abs().max() / arrays[name].abs().max()
        assert error < tolerance, (name, float(error))
    assert (arrays["output"] - arrays["input"]).abs().mean() > 0.01  # the network does something
