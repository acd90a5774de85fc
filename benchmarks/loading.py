"""Training crops: from PNG files, read and cropped as the field's toolboxes do, and from tar shards; in one run.

    python benchmarks/loading.py [--pairs 24] [--batches 12] [--rounds 3]

Pairs of 1280x720 photographs (scikit-image's, mirrored to that size; the degraded one is blurred) are written as PNG
files and packed by `restore shards pack pairs`. Then batches of 16 pairs of 256x256 crops are drawn by a PyTorch
DataLoader with one worker and with two, the two ways alternating: (a) each file is decoded
by OpenCV where it is installed, by Pillow elsewhere, then cropped, turned to RGB and made a float tensor; (b) this
package's training set on the shards.

Progress on standard error, one JSON object on standard output. `per_core` counts pairs of crops per second of a core's
time, from the first read to the collated batch, measured in the workers; `ratio` is (b) over (a). `delivered` counts
what arrives in the training process per second of the clock, which adds PyTorch's transport through shared memory to
both ways. Both are medians over all batches; `worker_peak_MiB` is the largest resident memory of a worker. All files
are in the page cache.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from skimage import data
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from restore_lightning.cli import main as restore
from restore_lightning.data.config import FactorConfig
from restore_lightning.data.cyclic_schedule import CyclicSchedule
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import PhaseBatches, ScheduledBatches
from restore_lightning.data.training_set import collate

WIDTH, HEIGHT, CROP, BATCH = 1280, 720, 256, 16

try:
    import cv2
except ImportError:
    cv2 = None


def decoded(path: Path) -> np.ndarray:
    """(H, W, 3) in RGB."""
    if cv2 is None:
        return np.asarray(Image.open(path).convert("RGB"))
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


class Files(Dataset[dict[str, Tensor]]):
    """Random crops of pairs of image files, as BasicSR and its kin read them."""

    def __init__(self, root: Path) -> None:
        self.pairs = [(path, root / "clean" / path.name) for path in sorted((root / "degraded").iterdir())]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        images = [decoded(path) for path in self.pairs[index % len(self.pairs)]]
        top, left = np.random.randint(HEIGHT - CROP + 1), np.random.randint(WIDTH - CROP + 1)
        crops = [image[top : top + CROP, left : left + CROP].astype(np.float32) / 255 for image in images]
        tensors = [torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))) for crop in crops]
        return {"degraded": tensors[0], "clean": tensors[1]}


def write_pairs(root: Path, count: int) -> None:
    """Photographs of full size and texture; no two are alike."""
    sources = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), *data.stereo_motorcycle()[:2]]
    rng = np.random.default_rng(0)
    for folder in ("degraded", "clean"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        source = np.roll(sources[number % len(sources)], tuple(rng.integers(300, size=2)), (0, 1))
        fill = [(0, max(0, side - length)) for side, length in zip((HEIGHT, WIDTH), source.shape[:2], strict=True)]
        image = Image.fromarray(np.pad(source, (*fill, (0, 0)), mode="reflect")[:HEIGHT, :WIDTH])
        image.save(root / f"clean/{number:04d}.png")
        image.filter(ImageFilter.BoxBlur(2)).save(root / f"degraded/{number:04d}.png")


def one_core(worker: int) -> None:
    """A worker has one core."""
    torch.set_num_threads(1)
    if cv2 is not None:
        cv2.setNumThreads(1)


class Timed(Dataset[Any]):
    """Whole batches of a data set, each with what it cost: seconds of a core, and MiB that the worker holds."""

    def __init__(self, dataset: Dataset[Any], collated: Callable[[list[Any]], Any]) -> None:
        self.dataset = dataset
        self.collated = collated

    def __getitems__(self, indices: Sequence[Any]) -> tuple[Any, float, float]:
        start = time.thread_time()
        batch = self.collated([self.dataset[index] for index in indices])
        return batch, time.thread_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def as_it_is(batch: Any) -> Any:
    """Batches are collated already."""
    return batch


def measured(loader: DataLoader[Any], skipped: int) -> dict[str, float]:
    """Pairs of crops per second after the first batches, and the most MiB that a worker held."""
    seconds, peaks, arrived = [], [], []
    for _, cost, held in loader:
        arrived.append(time.perf_counter())
        seconds.append(cost)
        peaks.append(held)
    return {
        "per_core": BATCH / statistics.median(seconds[skipped:]),
        "delivered": (len(arrived) - skipped - 1) * BATCH / (arrived[-1] - arrived[skipped]),
        "peak": max(peaks),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--batches", type=int, default=12, help="of the files; the shards do 20 times as many")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        print(f"writing {options.pairs} pairs of {WIDTH}x{HEIGHT}", file=sys.stderr)
        write_pairs(root / "pairs", options.pairs)
        sys.stdout, kept = sys.stderr, sys.stdout
        assert restore(["shards", "pack", "pairs", str(root / "pairs"), str(root / "shards")]) == 0
        sys.stdout = kept
        print(json.dumps(figures(root, options), indent=2))


def figures(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Crops per second and memory of both ways, with one worker and with two."""
    module = RestorationData({"blur": FactorConfig(shards=str(root / "shards"))}, crop_size=CROP)
    module.setup("fit")
    schedule = CyclicSchedule({"blur": 1}, 0)

    ways = {
        "files": Timed(Files(root / "pairs"), default_collate),
        "shards": Timed(module.training_set, collate),
    }

    def loader(workers: int, way: str) -> DataLoader[Any]:
        common: dict[str, Any] = {"num_workers": workers, "worker_init_fn": one_core, "collate_fn": as_it_is}
        numbers = [range(number * BATCH, (number + 1) * BATCH) for number in range(options.batches)]
        samples = ScheduledBatches(schedule, [PhaseBatches(0, {"blur": BATCH})], lambda: 0, 20 * options.batches)
        return DataLoader(ways[way], batch_sampler=numbers if way == "files" else samples, **common)

    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for number in range(options.rounds):
        for workers in (1, 2):
            for way in ways:
                found.setdefault((workers, way), []).append(measured(loader(workers, way), skipped=2 * workers))
                shown = ", ".join(f"{key} {value:.0f}" for key, value in found[workers, way][-1].items())
                print(f"round {number}, {workers} workers, {way}: {shown}", file=sys.stderr)

    def median(workers: int, way: str, key: str) -> float:
        return round(statistics.median(figures[key] for figures in found[workers, way]), 1)

    by_workers = {
        str(workers): {
            **{f"{way}_{key}": median(workers, way, key) for way in ways for key in ("per_core", "delivered")},
            "ratio": round(median(workers, "shards", "per_core") / median(workers, "files", "per_core"), 1),
        }
        for workers in (1, 2)
    }
    return {
        "ratio": min(figures["ratio"] for figures in by_workers.values()),
        "workers": by_workers,
        "worker_peak_MiB": {way: round(max(f["peak"] for w in (1, 2) for f in found[w, way])) for way in ways},
        "decoder": "Pillow" if cv2 is None else "OpenCV",
        "pairs": options.pairs,
    }


if __name__ == "__main__":
    main()
