"""`restore apply` beside the loop that one writes oneself: images a second and peak memory, alternating in one run.

    python benchmarks/apply.py [--images 8] [--rounds 3] [--width 8] [--device cpu]

Photographs (scikit-image's, 320x240 PNG files) are restored by a multi-branch network of the quickstart's size with
fresh weights: told its factor, by the recurrent order, and in tiles. The plain loop reads a file by Pillow, sends it to
the device, restores it in float32 and channels-first (whole, or tile by tile with a hard border) and writes it. Ours is
`restore apply` with its defaults, in this process. Each way and round is a process of its own, so that its peak memory
(of the process on a CPU, of the device on a GPU) is its own; its seconds are those of a call that follows one on a
single photograph, without imports.

Progress on standard error, one JSON object on standard output. `ratio` is the least of the ratios of images a second,
ours over the plain loop; each figure is the median over the rounds. PSNR between the results of both ways is given; in
float32 they are equal but for rounding, in bfloat16 more than 40 dB is asked for.
"""

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ORDER = ("jpeg", "haze", "blur", "rain")
CASES: dict[str, list[str]] = {
    "factor": ["--factor", "haze"],
    "order": ["--order", ",".join(ORDER)],
    "tiles": ["--factor", "haze", "--tile", "128"],
}
LEAST_PSNR = 40


def write_photographs(folder: Path, count: int) -> None:
    """Parts of real photographs, no two alike."""
    from skimage import data

    sources = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    folder.mkdir(parents=True)
    for number in range(count):
        source = sources[number % len(sources)]
        top, left = (7 * number % (side - part) for side, part in zip(source.shape[:2], (240, 320), strict=True))
        Image.fromarray(source[top : top + 240, left : left + 320]).save(folder / f"{number:03d}.png")


def write_checkpoint(path: Path, width: int) -> None:
    """An MBN as `restore fit` saves it."""
    from restore_lightning.networks import MBN

    torch.manual_seed(0)
    arguments = {"width": width, "init": "scaled"}
    network = MBN(**arguments)
    for module in network.outputs.values():
        for parameter in module.last.parameters():
            if parameter.dim() == 4:  # fresh ones are zero, and hide whatever a network computes
                torch.nn.init.normal_(parameter, std=0.01)
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    spec = {"class_path": "restore_lightning.networks.MBN", "init_args": arguments}
    torch.save({"network": spec, "order": None, "state_dict": state}, path)


def plain(root: Path, photos: str, case: str, device: str) -> None:
    """The loop that one writes oneself."""
    from restore_lightning.checkpoints import load_trained
    from restore_lightning.inference import pad_by_reflection

    network: Any = load_trained(root / "mbn.ckpt").network.to(device)
    factors = ORDER if case == "order" else ("haze",)
    target = root / f"plain-{case}"
    target.mkdir(exist_ok=True)

    def restored(image: torch.Tensor, factor: str) -> torch.Tensor:
        rule, (height, width) = network.info.size_rule(factor), image.shape[-2:]
        padded = pad_by_reflection(image, rule.padded(height), rule.padded(width))
        return network(padded, factor)[-1][..., :height, :width].clamp(0, 1)

    def restored_in_tiles(image: torch.Tensor, factor: str, side: int = 128, step: int = 96) -> torch.Tensor:
        result = torch.zeros_like(image)
        height, width = image.shape[-2:]
        for top in [*range(0, height - side, step), height - side]:
            for left in [*range(0, width - side, step), width - side]:
                part = (..., slice(top, top + side), slice(left, left + side))
                result[part] = restored(image[part], factor)
        return result

    with torch.no_grad():
        for path in sorted((root / photos).iterdir()):
            array = np.asarray(Image.open(path).convert("RGB"))
            image = torch.from_numpy(array.copy()).permute(2, 0, 1)[None].to(device).float().contiguous() / 255
            for factor in factors:
                image = (restored_in_tiles if case == "tiles" else restored)(image, factor)
            result = image[0].mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
            Image.fromarray(result).save(target / path.name)


def ours(root: Path, photos: str, case: str, device: str) -> None:
    """`restore apply`."""
    from restore_lightning.cli import main

    words = ["apply", str(root / "mbn.ckpt"), str(root / photos), *CASES[case], "--device", device, "--overwrite"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main([*words, "--output", str(root / f"ours-{case}")]) == 0


WAYS: dict[str, Callable[[Path, str, str, str], None]] = {"plain": plain, "ours": ours}


def measured(root: Path, way: str, case: str, device: str) -> dict[str, float]:
    """One way's figures, in this process."""
    WAYS[way](root, "first", case, device)  # imports, kernels
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    WAYS[way](root, "photos", case, device)
    seconds = time.perf_counter() - start
    images = sum(1 for _ in (root / "photos").iterdir())
    peak = torch.cuda.max_memory_allocated() if cuda else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"images_per_second": images / seconds, "peak_MiB": peak / 2**20}


def psnr_between(root: Path, case: str) -> float:
    """Of the results of both ways, the least over the images (dB)."""

    def read(way: str, name: str) -> np.ndarray:
        return np.asarray(Image.open(root / f"{way}-{case}" / name), dtype=float)

    names = sorted(path.name for path in (root / "photos").iterdir())
    errors = [np.square(read("plain", name) - read("ours", name)).mean() for name in names]
    return float(10 * np.log10(255**2 / max(*errors, 1e-9)))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--one", nargs=3, metavar=("ROOT", "WAY", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        root, way, case = options.one
        print(json.dumps(measured(Path(root), way, case, options.device)))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_photographs(root / "photos", options.images)
        write_photographs(root / "first", 1)
        write_checkpoint(root / "mbn.ckpt", options.width)
        for case in options.cases:
            rounds: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
            for number in range(options.rounds):
                for way, figures in rounds.items():
                    command = [sys.executable, __file__, "--device", options.device, "--one", str(root), way, case]
                    figures.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
                speeds = {way: round(figures[-1]["images_per_second"], 2) for way, figures in rounds.items()}
                print(f"{case}, round {number}, images/s: {speeds}", file=sys.stderr)
            of_case: dict[str, Any] = {
                way: {name: round(statistics.median(one[name] for one in figures), 2) for name in figures[0]}
                for way, figures in rounds.items()
            }
            speed = {way: of_case[way]["images_per_second"] for way in WAYS}
            of_case |= {"ratio": round(speed["ours"] / speed["plain"], 2), "psnr": round(psnr_between(root, case), 1)}
            assert case == "tiles" or of_case["psnr"] > LEAST_PSNR, f"{case}: {of_case['psnr']} dB between both ways"
            found[case] = of_case
    report = {"ratio": min(one["ratio"] for one in found.values()), "cases": found, "device": options.device}
    print(json.dumps(report | {"images": options.images, "rounds": options.rounds, "width": options.width}, indent=2))


if __name__ == "__main__":
    main()
