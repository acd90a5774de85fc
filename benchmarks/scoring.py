"""Scores of image files by scikit-image, as its users write them, and by this package; in one run, at equal numbers.

    python benchmarks/scoring.py [--images 29] [--rounds 5] [--protocols durn-rgb matlab-y]

Photographs (scikit-image's, mirrored to 768x512, as many as LIVE1 has) are written as PNG files, and so are noisy
versions. The plain way reads each pair by Pillow and calls `peak_signal_noise_ratio` and `structural_similarity`, for
"durn-rgb" on the colours with the default window, for "matlab-y" on MATLAB's luma with the Gaussian window and without
the border. Ways and rounds alternate; each figure is the median over the rounds:

- `process`: `restore score` beside a script, whole processes in seconds, with their imports.
- `folder`: the same work in a process that has imported everything, in seconds.
- `pair`: one pair in memory, in milliseconds, from the bytes to both scores, with the threads that each way starts.
- `pair_one_thread`: the same, with one thread for each.

Progress on standard error, one JSON object on standard output. `ratio` is the least of the ratios, plain over ours. The
largest difference of an image's scores is given for each protocol; more than 1e-3 dB or 1e-5 of SSIM is an error.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 768, 512
PROTOCOLS = ("durn-rgb", "matlab-y")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def read(path: Path) -> np.ndarray:
    """(H, W, 3) uint8."""
    return np.asarray(Image.open(path).convert("RGB"))


def plain_scores(restored: np.ndarray, clean: np.ndarray, protocol: str) -> tuple[float, float]:
    """PSNR and SSIM by scikit-image."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    if protocol == "durn-rgb":
        similarity = structural_similarity(clean, restored, data_range=255, channel_axis=2)
    else:
        restored, clean = (16 + x.astype(np.float64) @ [65.481, 128.553, 24.966] / 255 for x in (restored, clean))
        window: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        similarity = structural_similarity(clean, restored, data_range=255, full=True, **window)[1][5:-5, 5:-5].mean()
    return peak_signal_noise_ratio(clean, restored, data_range=255), similarity


def plain_folder(root: Path, protocol: str) -> dict[str, tuple[float, float]]:
    """Every image's scores."""
    paths = sorted((root / "restored").iterdir())
    return {path.stem: plain_scores(read(path), read(root / "clean" / path.name), protocol) for path in paths}


def our_folder(root: Path, protocol: str) -> dict[str, tuple[float, float]]:
    """The same by `restore score`, in this process."""
    from restore_lightning.cli import main

    report = root / "scores.json"
    words = ["score", str(root / "restored"), str(root / "clean"), "--protocol", protocol, "--json", str(report)]
    with contextlib.redirect_stdout(io.StringIO()):
        code = main([*words, "--overwrite"])
    assert code == 0
    return {image["name"]: (image["psnr"], image["ssim"]) for image in json.loads(report.read_text())["images"]}


def write_images(root: Path, count: int) -> None:
    """Photographs of full size and texture; no two are alike."""
    from skimage import data

    sources = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), *data.stereo_motorcycle()[:2]]
    rng = np.random.default_rng(0)
    for folder in ("restored", "clean"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        source = np.roll(sources[number % len(sources)], tuple(rng.integers(300, size=2)), (0, 1))
        fill = [(0, max(0, side - length)) for side, length in zip((HEIGHT, WIDTH), source.shape[:2], strict=True)]
        clean = np.pad(source, (*fill, (0, 0)), mode="reflect")[:HEIGHT, :WIDTH]
        noisy = (clean + rng.normal(0, 3 + number, clean.shape)).clip(0, 255).astype(np.uint8)
        for folder, image in (("restored", noisy), ("clean", clean)):
            Image.fromarray(image).save(root / folder / f"{number:04d}.png")


def seconds(call: Callable[[], object]) -> float:
    """Of the clock."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def process_calls(root: Path, protocol: str) -> dict[str, Callable[[], object]]:
    """Both ways as whole processes."""
    ours = ["-m", "restore_lightning", "score", str(root / "restored"), str(root / "clean"), "--protocol", protocol]
    words = {"plain": [__file__, "--plain", str(root), protocol], "ours": ours}

    def run(way: str) -> None:
        subprocess.run([sys.executable, *words[way]], check=True, stdout=subprocess.DEVNULL)

    return {way: partial(run, way) for way in words}


def in_memory(root: Path, protocol: str, repeats: int) -> dict[str, float]:
    """Milliseconds for a pair, each way, with the threads that this process allows."""
    from restore_lightning.metrics import protocol as protocol_of

    restored, clean = (read(root / folder / "0000.png") for folder in ("restored", "clean"))
    batch = [image.transpose(2, 0, 1)[None] for image in (restored, clean)]
    calls: dict[str, Callable[[], object]] = {
        "plain": lambda: plain_scores(restored, clean, protocol),
        "ours": lambda: protocol_of(protocol).scores(*batch),
    }
    for call in calls.values():
        call()
    found = [{way: 1000 * seconds(call) for way, call in calls.items()} for _ in range(repeats)]
    return {way: statistics.median(times[way] for times in found) for way in calls}


def pair_in_a_process(root: Path, protocol: str, repeats: int, threads: int | None) -> dict[str, float]:
    """`in_memory` in a process with a number of threads; None: its own."""
    environment = {key: value for key, value in os.environ.items() if key not in THREADS}
    environment |= dict.fromkeys(THREADS, str(threads)) if threads else {}
    command = [sys.executable, __file__, "--pair", str(root), protocol, str(repeats)]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def compared(root: Path, protocol: str, rounds: int) -> dict[str, Any]:
    """One protocol's figures."""
    folder = {"plain": plain_folder(root, protocol), "ours": our_folder(root, protocol)}
    difference = np.abs([np.subtract(folder["plain"][name], folder["ours"][name]) for name in folder["plain"]]).max(0)
    assert len(folder["plain"]) == len(folder["ours"])
    assert difference[0] <= 1e-3, f"PSNR differs by {difference[0]} dB"
    assert difference[1] <= 1e-5, f"SSIM differs by {difference[1]}"
    calls: dict[str, dict[str, Callable[[], object]]] = {
        "process": process_calls(root, protocol),
        "folder": {"plain": lambda: plain_folder(root, protocol), "ours": lambda: our_folder(root, protocol)},
    }
    times: dict[str, list[dict[str, float]]] = {"process": [], "folder": [], "pair": [], "pair_one_thread": []}
    for number in range(rounds):
        for what, ways in calls.items():
            times[what].append({way: seconds(call) for way, call in ways.items()})
        times["pair"].append(pair_in_a_process(root, protocol, 5, None))
        times["pair_one_thread"].append(pair_in_a_process(root, protocol, 5, 1))
        shown = ", ".join(f"{what} {times[what][-1]['plain'] / times[what][-1]['ours']:.2f}" for what in times)
        print(f"{protocol}, round {number}, plain over ours: {shown}", file=sys.stderr)
    medians = {
        what: {way: statistics.median(measured[way] for measured in found) for way in ("plain", "ours")}
        for what, found in times.items()
    }
    figures: dict[str, Any] = {
        what: {**{way: round(t, 3) for way, t in found.items()}, "ratio": round(found["plain"] / found["ours"], 2)}
        for what, found in medians.items()
    }
    return figures | {"largest_difference": {"psnr": float(difference[0]), "ssim": float(difference[1])}}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=29)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--plain", nargs=2, metavar=("ROOT", "PROTOCOL"), help=argparse.SUPPRESS)
    parser.add_argument("--pair", nargs=3, metavar=("ROOT", "PROTOCOL", "REPEATS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        print(plain_folder(Path(options.plain[0]), options.plain[1]))
        return
    if options.pair:
        print(json.dumps(in_memory(Path(options.pair[0]), options.pair[1], int(options.pair[2]))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        print(f"writing {options.images} pairs of {WIDTH}x{HEIGHT}", file=sys.stderr)
        write_images(root, options.images)
        protocols = {protocol: compared(root, protocol, options.rounds) for protocol in options.protocols}
    ratios = [found["ratio"] for figures in protocols.values() for found in figures.values() if "ratio" in found]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    report = {"ratio": min(ratios), "protocols": protocols, "images": options.images, "rounds": options.rounds}
    print(json.dumps(report | {"cores": cores}, indent=2))


if __name__ == "__main__":
    main()
