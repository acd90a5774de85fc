"""`restore apply`: restore image files and folders with a trained network."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

from restore_lightning.commands.cpu_cores import usable_cores
from restore_lightning.errors import UserError


class Job(NamedTuple):
    """One file to restore, and where to."""

    source: Path
    target: Path


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore apply", description="Restore image files and folders.", allow_abbrev=False
    )
    made.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="written by restore fit, e.g. runs/mbn/checkpoints/best.ckpt"
    )
    made.add_argument("inputs", metavar="INPUT", nargs="+", help="image files, or folders (searched with subfolders)")
    made.add_argument("--output", required=True, metavar="DIR", help="folder for the restored images")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--factor", help="the degradation to remove, one of the network's factors")
    how.add_argument(
        "--order",
        metavar="F1,F2,...",
        help="remove all factors in this order, for images whose degradation is not known; without --factor and"
        " --order a recurrently fine-tuned network (R-MBN) uses its own order",
    )
    made.add_argument(
        "--tile",
        type=int,
        metavar="N",
        help="restore in tiles of N x N pixels, for images that do not fit into memory; N is rounded up to what the"
        " network accepts",
    )
    made.add_argument(
        "--overlap",
        type=int,
        metavar="N",
        help="pixels that neighbouring tiles share, to be blended (default 64, of small tiles a quarter)",
    )
    made.add_argument(
        "--local-statistics",
        type=int,
        metavar="N",
        help="take the statistics of attention and instance normalisation over windows of N x N pixels around each"
        " position, not over the whole image or tile: N is the side of the crops that the network was trained on",
    )
    made.add_argument(
        "--self-ensemble",
        action="store_true",
        help="the mean over 8 flips and quarter turns of each image, which takes 8 times as long",
    )
    made.add_argument(
        "--precision",
        choices=("auto", "bf16", "float32"),
        default="auto",
        help="bf16: faster where the device computes in it, equal but for rounding; auto (default): bf16 where the"
        " network computes well in it and the device fast, else float32",
    )
    made.add_argument("--format", choices=("png", "same"), default="png", help="png (default), or the input's format")
    made.add_argument("--device", help="e.g. cpu, cuda, cuda:1, mps; default: cuda where there is one")
    made.add_argument("--overwrite", action="store_true", help="replace files that are in DIR already")
    return made


def run(words: list[str]) -> int:
    """Restore; files that cannot be read are named and counted, the others are done."""
    options = parser().parse_args(words)
    if options.overlap is not None and options.tile is None:
        raise UserError(f"--overlap {options.overlap} is of tiles: give --tile too, or leave it out")
    jobs = plan([Path(name) for name in options.inputs], Path(options.output), options.format, options.overwrite)

    import torch
    from tqdm import tqdm

    from restore_lightning.inference import InferenceSettings, Restorer
    from restore_lightning.inference.batches import batch_size
    from restore_lightning.inference.pipeline import run_pipeline
    from restore_lightning.io.images import read_image, to_float, to_uint8, write_image

    trained = Restorer.from_checkpoint(options.checkpoint)
    order = choose_order(trained.factors, trained.order, options.factor, options.order)
    given = {name: getattr(options, name) for name in InferenceSettings.__dataclass_fields__}
    try:
        settings = InferenceSettings(**{name: value for name, value in given.items() if value is not None})
        restorer = Restorer(trained.networks, order, settings)
    except ValueError as error:
        raise UserError("--" + str(error).replace("_", "-")) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(options.device or device)
        restorer.to(device)
    except (RuntimeError, AssertionError) as error:  # torch says both of devices it cannot use
        raise UserError(f"--device {options.device} cannot be used: {str(error).splitlines()[0]}") from error
    precision = {"bf16": torch.bfloat16, "float32": torch.float32}.get(options.precision) or restorer.precision(device)
    # In tiles an image is not sent to the device as a whole.
    home = torch.device("cpu") if options.tile else device

    def read(job: Job) -> torch.Tensor:
        image = read_image(job.source)
        return image.pin_memory() if home.type == "cuda" else image

    def restored(images: torch.Tensor) -> torch.Tensor:
        return to_uint8(restorer.restore(to_float(images.to(home, non_blocking=True)), ()))

    failures: list[str] = []
    done = run_pipeline(
        jobs,
        read,
        restored,
        lambda job, image: write_image(image, job.target),  # waits for the device
        partial(batch_size, home),
        threads=min(8, usable_cores()),
    )
    autocast = nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)
    progress = tqdm(total=len(jobs), unit="image", desc=", ".join(order), disable=None)
    with progress, closing(done), torch.inference_mode(), autocast:
        for job, failure in done:
            progress.update()
            if failure is not None:
                failures.append(_told(job, failure, options.tile))
    for line in failures:
        print(f"not restored: {line}", file=sys.stderr)
    print(
        f"{len(jobs) - len(failures)} of {len(jobs)} images restored in {options.output}"
        f" ({device}, {str(precision).removeprefix('torch.')})"
    )
    return 1 if failures else 0


def _told(job: Job, error: Exception, tile: int | None) -> str:
    """Why a file was not restored, in one line."""
    import torch

    what = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in what:  # on a GPU, on the CPU
        remedy = "restore it in tiles, e.g. --tile 512" if tile is None else f"give a smaller --tile than {tile}"
        what = f"too large for the memory: {remedy}: {what}"
    return what if isinstance(error, UserError) else f"{job.source}: {what}"


def plan(inputs: list[Path], output: Path, form: str, overwrite: bool) -> list[Job]:
    """Find the files and their outputs; nothing is written yet.

    Raises:
        UserError: A missing input, no images, two inputs for one output, or outputs that exist.
    """
    from restore_lightning.io.image_folders import find_images

    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is a file: name a folder")
    jobs = []
    for given in inputs:
        if not given.exists():
            raise UserError(f"{given}: no such file or folder")
        root = given if given.is_dir() else given.parent
        for source in find_images(given).images if given.is_dir() else [given]:
            target = output / source.relative_to(root)
            jobs.append(Job(source, target if form == "same" else target.with_suffix(".png")))
    if not jobs:
        raise UserError(f"no images in {', '.join(map(str, inputs))}")
    twice = [str(target) for target, count in Counter(job.target for job in jobs).items() if count > 1]
    if twice:
        raise UserError(
            f"several inputs would become {twice[0]}: name each file once, keep the formats by --format same,"
            " or restore the folders one by one"
        )
    same = [str(job.source) for job in jobs if job.target.resolve() == job.source.resolve()]
    if same:
        raise UserError(f"--output {output} would replace the input {same[0]}: choose another folder")
    existing = [str(job.target) for job in jobs if job.target.exists()]
    if existing and not overwrite:
        raise UserError(
            f"{len(existing)} outputs exist already, e.g. {existing[0]}: give --overwrite or another --output"
        )
    return jobs


def choose_order(factors: Sequence[str], own: Sequence[str] | None, factor: str | None, order: str | None) -> list[str]:
    """The factors to remove, in order.

    Args:
        factors: The network's.
        own: The order that the network was fine-tuned in; None: in none.
        factor: `--factor`.
        order: `--order`.

    Raises:
        UserError: Factors that the network lacks, or nothing given where there are several.
    """
    from restore_lightning.inference import order_given

    if order is not None:
        try:
            return order_given([name.strip() for name in order.split(",") if name.strip()], factors, own)
        except ValueError as error:
            raise UserError(f"--{error}") from error
    if factor is not None:
        if factor not in factors:
            raise UserError(f"unknown --factor {factor}: this network has {', '.join(factors)}")
        return [factor]
    if own is not None:
        return list(own)
    if len(factors) == 1:
        return list(factors)
    raise UserError(
        f"no --factor given: this network has {', '.join(factors)}; give one of them, or --order {','.join(factors)}"
        " (any order) for images whose degradation is not known"
    )
