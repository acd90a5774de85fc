"""Writes the golden vectors: `python -m scripts.golden.write`, tests/golden."""

from pathlib import Path

import numpy as np

from scripts.golden import drn, nafnet
from scripts.golden.formulas import Array, Weights, image, weights

FOLDER = Path(__file__).parents[2] / "tests/golden"
DRN_SIZES = {"DRN_7_7": (7, 7), "DRN_3_2": (3, 2)}
"""Name of a vector -> T and R."""


def weights_of(network: str) -> Weights:
    """The weights of a network, "DRN" or "NAFNet", by the names in its authors' checkpoint."""
    # 0.5 as DRN goes around many times.
    return weights(drn.NAMES, 0.5) if network == "DRN" else weights(nafnet.NAMES, 1)


def vectors() -> dict[str, dict[str, Array]]:
    """Name -> its arrays, `input` (1, 3, H, W), `output`, and DRN's `stages` (T, 1, 3, H, W); all in float64."""
    found = {}
    for name, (stages, recursions) in DRN_SIZES.items():
        y = image(3, 12, 17)
        each = drn.drn(y, weights_of("DRN"), stages, recursions)
        found[name] = {"input": y[None], "output": each[-1:], "stages": each[:, None]}
    x = image(3, 12, 20)
    found["NAFNet"] = {"input": x[None], "output": nafnet.nafnet(x, weights_of("NAFNet"))[None]}
    return found


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, arrays in vectors().items():
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
