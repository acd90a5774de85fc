"""DRN (paper 4, section 2.2): x_t = y + f_out(f_res^R(f_in(y, x_{t-1}))), t = 1 ... T, x_0 = y."""

import numpy as np

from scripts.golden.formulas import Array, Weights, convolve, relu

WIDTH = 16
SHAPES = {
    "conv0.0": (WIDTH, 6, 3, 3),
    **{f"res_conv{block}.{layer}": (WIDTH, WIDTH, 3, 3) for block in (1, 2) for layer in (0, 2)},
    "conv.0": (3, WIDTH, 3, 3),
}
NAMES = {
    **{f"{layer}.weight": shape for layer, shape in SHAPES.items()},
    **{f"{layer}.bias": shape[:1] for layer, shape in SHAPES.items()},
}
"""Every tensor of the released checkpoint, and its shape."""


def drn(y: Array, weights: Weights, stages: int, recursions: int) -> Array:
    """(3, H, W) -> the image after each stage, (T, 3, H, W)."""

    def layer(name: str, x: Array) -> Array:
        return convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    found = [y]
    for _ in range(stages):
        x = relu(layer("conv0.0", np.concatenate([y, found[-1]])))
        for _ in range(recursions):
            for block in (1, 2):
                inner = relu(layer(f"res_conv{block}.0", x))
                x = relu(x + relu(layer(f"res_conv{block}.2", inner)))
        found.append(y + layer("conv.0", x))
    return np.stack(found[1:])
