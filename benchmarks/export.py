"""Exported networks beside PyTorch: differences on photographs of three sizes, sizes of files, and speed.

    python benchmarks/export.py [--networks DRN "MBN rain" ...] [--width 8] [--side 128] [--rounds 5] [--format onnx]

Networks have fresh weights of which none are zero, and the widths of their papers unless `--width` names another. Each
is exported as `restore export` does it, with padding inside, and compared with PyTorch in float32 on parts of
scikit-image's photographs of no size that it takes as it is. Speed is that of onnxruntime (or of the program of
torch.export) and of PyTorch eager, on the CPU with `torch.get_num_threads()` threads each, on one image of `--side`
pixels, alternating in one run: `ratio` is eager's seconds over the file's, medians over the rounds.

Progress on standard error, one JSON object on standard output. Its top-level `ratio` is the least of all networks.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import restore_lightning.networks
from restore_lightning.export.graph import Passes, traced
from restore_lightning.export.verification import differences
from restore_lightning.export.writing import read_program, write_program
from restore_lightning.inference import PAPER_ORDER, Restorer

CASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    **{f"MBN {factor}": ("MBN", {}, (factor,)) for factor in ("rain", "haze", "blur", "jpeg")},
    "R-MBN": ("MBN", {}, PAPER_ORDER),
    "DuRN-U": ("DuRN", {"preset": "U"}, ("haze",)),
    "DuRN-US": ("DuRN", {"preset": "US"}, ("haze",)),
    "DuRN-S-P": ("DuRN", {"preset": "S-P"}, ("raindrop",)),
    "DuRN-P": ("DuRN", {"preset": "P"}, ("noise",)),
    "DRN": ("DRN", {}, ("rain",)),
    "DIN x2": ("DIN", {"scale": 2}, ("downscale",)),
    "NAFNet": ("NAFNet", {}, ("blur",)),
    "Restormer": ("Restormer", {}, ("blur",)),
    "PromptIR": ("PromptIR", {}, ("mixture",)),
}
"""Title -> class, arguments and order of passes."""


def fresh(name: str, arguments: dict[str, Any], order: tuple[str, ...]) -> Restorer:
    """A network whose parameters are not zero, which would hide whatever it computes."""
    torch.manual_seed(0)
    network = getattr(restore_lightning.networks, name)(**arguments).eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return Restorer(dict.fromkeys(order, network), list(order))


def seconds(call: Any, image: torch.Tensor) -> float:
    """Of one call."""
    start = time.perf_counter()
    call(image)
    return time.perf_counter() - start


def measured(restorer: Restorer, form: str, side: int, rounds: int) -> dict[str, Any]:
    """The figures of one network."""
    start = time.perf_counter()
    passes = Passes(restorer)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network.{form}"
        write_program(traced(passes), path, passes.description)
        made = time.perf_counter() - start
        program, described = read_program(path)
        size = path.stat().st_size
    found = {f"{height}x{width}": value for (height, width), value in differences(program, restorer, described)}
    image = torch.rand(1, described.channels, side, side)

    def eager(image: torch.Tensor) -> torch.Tensor:
        return restorer.restore(image, ())

    restorer.to("cpu")  # as restore apply: weights channels-last where the network takes them so
    times: dict[str, list[float]] = {"eager": [], "file": []}
    for number in range(rounds + 1):  # the first call of each finds memory and kernels
        for name, call in (("eager", eager), ("file", program)):
            taken = seconds(call, image)
            times[name] += [taken] if number else []
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "ratio": round(medians["eager"] / medians["file"], 2),
        "differences": {name: float(f"{value:.1e}") for name, value in found.items()},
        "MiB": round(size / 2**20, 2),
        "export_seconds": round(made, 1),
        "seconds": {name: round(value, 4) for name, value in medians.items()},
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--width", type=int)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--format", choices=("onnx", "pt2"), default="onnx")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with torch.no_grad():
        for title in options.networks:
            name, arguments, order = CASES[title]
            width = {} if options.width is None else {"width": options.width}
            found[title] = measured(fresh(name, arguments | width, order), options.format, options.side, options.rounds)
            print(f"{title}: {found[title]}", file=sys.stderr, flush=True)
    report = {"ratio": min(one["ratio"] for one in found.values()), "networks": found, "format": options.format}
    about = {"width": options.width, "side": options.side, "threads": torch.get_num_threads()}
    print(json.dumps(report | about, indent=2))


if __name__ == "__main__":
    main()
