"""Exported networks beside PyTorch: differences on photographs of three sizes, sizes of files, and speed.

    python benchmarks/export.py [--networks DRN "MBN rain" ...] [--width 8] [--side 128] [--folder DIR]

Networks have the widths of their papers unless `--width` names another, and random weights that keep the size of what
passes through. Each is exported as `restore export` does it, as .onnx and .pt2, with padding inside, and compared with
PyTorch in float32 on parts of scikit-image's photographs of no size that it takes as it is. Then onnxruntime and eager
PyTorch restore one image of `--side` pixels in turns, on the CPU with one thread each, five times or as often as half a
minute allows: `ratio` is eager's seconds over onnxruntime's, medians. Exporting is told in seconds of CPU time.

Exporting takes minutes, and speed is to be measured alone: `--folder` keeps what was exported and compared, and another
call with it goes on from there. Progress on standard error, one JSON object on standard output (`--table`: the
table of docs/export.md). The top-level `ratio` is the least of all networks.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import restore_lightning.networks
from restore_lightning.export.graph import Passes, traced
from restore_lightning.export.onnx_network import OnnxNetwork
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
    "NAFNetLocal": ("NAFNet", {"train_size": 256}, ("blur",)),
    "Restormer": ("Restormer", {}, ("blur",)),
    "PromptIR": ("PromptIR", {}, ("mixture",)),
}
"""Title -> class, arguments and order of passes."""
ROUNDS, MOST_SECONDS = 5, 30


def random_network(name: str, arguments: dict[str, Any], order: tuple[str, ...]) -> Restorer:
    """A network whose layers keep the size of their input, none of which is idle."""
    torch.manual_seed(0)
    network: nn.Module = getattr(restore_lightning.networks, name)(**arguments).eval()
    # Without norms, sums of recursions or of twelve blocks would grow until rounding decides what is left.
    gain = 0.5 if name == "DRN" or arguments.get("preset") == "US" else 1.0
    for key, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if key.endswith("running_var"):
            tensor.normal_().abs_().mul_(0.1).add_(1)
        elif tensor.dim() > 1:
            tensor.normal_(std=gain / math.sqrt(tensor[0].numel()))
        else:
            norm = key.endswith("weight")
            tensor.normal_(mean=float(norm), std=0.1 if norm else 0.05)
    return Restorer(dict.fromkeys(order, network), list(order))


def exported(restorer: Restorer, onnx: Path) -> dict[str, Any]:
    """The figures of both files of a network, which are written unless they are there with them."""
    figures = onnx.with_suffix(".json")
    if figures.is_file():
        return json.loads(figures.read_text())
    start = time.process_time()
    passes = Passes(restorer)
    traced_program = traced(passes)
    tracing = time.process_time() - start
    made: dict[str, Any] = {}
    for form in ("onnx", "pt2"):
        path = onnx.with_suffix(f".{form}")
        start = time.process_time()
        write_program(traced_program, path, passes.description)
        seconds = tracing + time.process_time() - start
        program, described = read_program(path)
        found = {f"{height}x{width}": value for (height, width), value in differences(program, restorer, described)}
        made[form] = {
            "differences": {size: float(f"{value:.1e}") for size, value in found.items()},
            "MiB": round(path.stat().st_size / 2**20, 2),
            "export_cpu_seconds": round(seconds, 1),
        }
        print(f"{onnx.stem}: {form} {made[form]}", file=sys.stderr, flush=True)
    figures.write_text(json.dumps(made))
    return made


def speed(restorer: Restorer, path: Path, side: int) -> dict[str, float]:
    """Medians of the seconds that an image takes, alternating; the first call of each finds memory and kernels."""
    network = OnnxNetwork(path)
    image = torch.rand(1, network.description.channels, side, side)
    restorer.to("cpu")  # as restore apply: weights channels-last where the network takes them so
    calls: dict[str, Callable[[Tensor], Tensor]] = {"eager": lambda x: restorer.restore(x, ()), "onnxruntime": network}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call(image)
    begin = time.perf_counter()
    while len(times["eager"]) < ROUNDS and (not times["eager"] or time.perf_counter() - begin < MOST_SECONDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call(image)
            times[name].append(time.perf_counter() - start)
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def table(networks: dict[str, Any]) -> str:
    """The rows of docs/export.md."""
    lines = []
    for title, one in networks.items():
        cells = [f"{max(one[form]['differences'].values()):.1e}" for form in ("onnx", "pt2")]
        cells += [f"{one['onnx']['MiB']:.1f}"]
        cells += [f"{one[form]['export_cpu_seconds']:.0f}" for form in ("onnx", "pt2")]
        cells += [f"{one['seconds'][name]:.2f}" for name in ("onnxruntime", "eager")]
        lines.append(f"| {' | '.join([title, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--width", type=int)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with torch.no_grad(), tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for title in options.networks:
            name, arguments, order = CASES[title]
            width = {} if options.width is None else {"width": options.width}
            restorer = random_network(name, arguments | width, order)
            path = folder / f"{title}-{options.width or 'full'}.onnx"
            found[title] = exported(restorer, path) | {"seconds": speed(restorer, path, options.side)}
            seconds = found[title]["seconds"]
            found[title]["ratio"] = round(seconds["eager"] / seconds["onnxruntime"], 2)
            print(f"{title}: {found[title]}", file=sys.stderr, flush=True)
    if options.table:
        print(table(found))
        return
    report = {"ratio": min(one["ratio"] for one in found.values()), "networks": found}
    about = {"width": options.width, "side": options.side, "threads": torch.get_num_threads()}
    print(json.dumps(report | about, indent=2))


if __name__ == "__main__":
    main()
