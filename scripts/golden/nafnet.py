"""NAFNet (Chen et al., 2022, "Simple Baselines for Image Restoration"): blocks without activations in a U."""

import numpy as np

from scripts.golden.formulas import Array, Weights, convolve

WIDTH, ENCODERS, MIDDLE, DECODERS = 4, (1, 2), 1, (2, 1)
"""Channels at full size, and blocks: of a small network of the authors' kind."""
EPS = 1e-6


def _block(name: str, c: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.{each}": (1, c, 1, 1) for each in ("beta", "gamma")}
    shapes |= {f"{name}.{norm}.{each}": (c,) for norm in ("norm1", "norm2") for each in ("weight", "bias")}
    layers = {"conv1": (2 * c, c), "conv3": (c, c), "sca.1": (c, c), "conv4": (2 * c, c), "conv5": (c, c)}
    for layer, (out, into) in layers.items():
        shapes |= {f"{name}.{layer}.weight": (out, into, 1, 1), f"{name}.{layer}.bias": (out,)}
    return shapes | {f"{name}.conv2.weight": (2 * c, 1, 3, 3), f"{name}.conv2.bias": (2 * c,)}


def _names() -> dict[str, tuple[int, ...]]:
    levels = len(ENCODERS)
    widths = [WIDTH * 2**level for level in range(levels + 1)]
    shapes: dict[str, tuple[int, ...]] = {
        "intro.weight": (WIDTH, 3, 3, 3),
        "intro.bias": (WIDTH,),
        "ending.weight": (3, WIDTH, 3, 3),
        "ending.bias": (3,),
    }
    for level, count in enumerate(ENCODERS):
        for block in range(count):
            shapes |= _block(f"encoders.{level}.{block}", widths[level])
        shapes |= {f"downs.{level}.weight": (2 * widths[level], widths[level], 2, 2)}
        shapes |= {f"downs.{level}.bias": (2 * widths[level],)}
    for block in range(MIDDLE):
        shapes |= _block(f"middle_blks.{block}", widths[-1])
    for step, count in enumerate(DECODERS):
        above = widths[levels - 1 - step]
        shapes |= {f"ups.{step}.0.weight": (4 * above, 2 * above, 1, 1)}
        for block in range(count):
            shapes |= _block(f"decoders.{step}.{block}", above)
    return shapes


NAMES = _names()
"""Every tensor of a checkpoint of this size, and its shape."""


def nafnet(image: Array, weights: Weights) -> Array:
    """(3, H, W) with sides that are multiples of 2 ** levels -> the restored image."""

    def layer(name: str, x: Array) -> Array:
        return convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def normalise(name: str, x: Array) -> Array:
        """Over the channels, at each position."""
        centred = x - x.mean(axis=0)
        scaled = centred / np.sqrt((centred**2).mean(axis=0) + EPS)
        return weights[f"{name}.weight"][:, None, None] * scaled + weights[f"{name}.bias"][:, None, None]

    def gate(x: Array) -> Array:
        half = len(x) // 2
        return x[:half] * x[half:]

    def each_alone(name: str, x: Array) -> Array:
        """A kernel for each channel."""
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return np.concatenate([convolve(x[[c]], kernel[[c]], bias[[c]]) for c in range(len(x))])

    def block(name: str, x: Array) -> Array:
        g = gate(each_alone(f"{name}.conv2", layer(f"{name}.conv1", normalise(f"{name}.norm1", x))))
        attention = layer(f"{name}.sca.1", g.mean(axis=(1, 2), keepdims=True))
        y = x + weights[f"{name}.beta"][0] * layer(f"{name}.conv3", g * attention)
        fed = layer(f"{name}.conv5", gate(layer(f"{name}.conv4", normalise(f"{name}.norm2", y))))
        return y + weights[f"{name}.gamma"][0] * fed

    def down(name: str, x: Array) -> Array:
        """One position of each 2 x 2."""
        c, height, width = x.shape
        squares = x.reshape(c, height // 2, 2, width // 2, 2)
        return np.einsum("oiab,ihawb->ohw", weights[f"{name}.weight"], squares) + weights[f"{name}.bias"][:, None, None]

    def up(name: str, x: Array) -> Array:
        """A 2 x 2 square of each position: four channels lie beside each other."""
        y = np.einsum("oi,ihw->ohw", weights[f"{name}.weight"][:, :, 0, 0], x)
        c, height, width = len(y) // 4, *y.shape[1:]
        return y.reshape(c, 2, 2, height, width).transpose(0, 3, 1, 4, 2).reshape(c, 2 * height, 2 * width)

    x = layer("intro", image)
    skips = []
    for level, count in enumerate(ENCODERS):
        for number in range(count):
            x = block(f"encoders.{level}.{number}", x)
        skips.append(x)
        x = down(f"downs.{level}", x)
    for number in range(MIDDLE):
        x = block(f"middle_blks.{number}", x)
    for step, count in enumerate(DECODERS):
        x = up(f"ups.{step}.0", x) + skips[-1 - step]
        for number in range(count):
            x = block(f"decoders.{step}.{number}", x)
    return layer("ending", x) + image
