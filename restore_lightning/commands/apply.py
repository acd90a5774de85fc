"""`restore apply`: restore image files and folders with a trained network."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from restore_lightning.commands.apply_plan import Job, Naming, Notes, plan
from restore_lightning.commands.cpu_cores import usable_cores
from restore_lightning.errors import UserError, did_you_mean
from restore_lightning.io.files import user_path, with_home
from restore_lightning.weights import find_weights
from restore_lightning.weights.sources import KINDS

if TYPE_CHECKING:
    from restore_lightning.inference import Restorer
    from restore_lightning.io.image_files import Photo


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore apply", description="Restore image files and folders.", allow_abbrev=False
    )
    made.add_argument(
        "checkpoint",
        type=with_home,
        metavar="WEIGHTS",
        help=f"{KINDS}, or a file that restore export wrote (.onnx); e.g. runs/mbn/checkpoints/best.ckpt",
    )
    made.add_argument(
        "inputs",
        type=user_path,
        metavar="INPUT",
        nargs="+",
        help="image files, or folders (searched with subfolders and linked ones)",
    )
    made.add_argument("--output", type=user_path, required=True, metavar="DIR", help="folder for the restored images")
    add_passes(made)
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
    made.add_argument(
        "--format",
        type=lambda word: {"jpg": "jpeg", "tif": "tiff"}.get(word, word),
        choices=("png", "same", "jpeg", "tiff", "webp"),
        default="png",
        help="png (default), or another; same: the input's. What a photo carries is kept as far as the format holds it:"
        " colour profile, EXIF, XMP, resolution, transparency, and in png and tiff 16 bits",
    )
    made.add_argument(
        "--quality", type=int, metavar="N", help="1 to 100, of jpeg and webp (default: jpeg 95, webp without loss)"
    )
    made.add_argument(
        "--suffix", default="", metavar="TEXT", help="append to the names, e.g. _restored: a.jpg becomes a_restored.png"
    )
    made.add_argument("--max-pixels", type=int, metavar="N", help="read images of up to N pixels, however small a file")
    made.add_argument("--device", help="e.g. cpu, cuda, cuda:1, mps; default: cuda where there is one")
    there = made.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace files that are in DIR already")
    there.add_argument("--skip-existing", action="store_true", help="go on: leave files that are in DIR already")
    return made


def run(words: list[str]) -> int:
    """Restore; files that cannot be read are named and counted, the others are done."""
    options = parser().parse_args(words)
    if options.overlap is not None and options.tile is None:
        raise UserError(f"--overlap {options.overlap} is of tiles: give --tile too, or leave it out")
    planned = plan(options.inputs, Naming.of(options), options.overwrite, options.skip_existing)
    for line in planned.said():
        print(line, file=sys.stderr)

    import torch
    from tqdm import tqdm

    from restore_lightning.export.onnx_network import OnnxNetwork
    from restore_lightning.inference import InferenceSettings, Restorer
    from restore_lightning.inference.batches import batch_size
    from restore_lightning.inference.photographs import PhotoRestorer
    from restore_lightning.inference.pipeline import run_pipeline
    from restore_lightning.io.image_files import read_header, read_photo
    from restore_lightning.io.images import photo_tensor, photo_with
    from restore_lightning.io.photo_writing import write_photo

    trained = _restorer(options)
    order = choose_order(trained.factors, trained.order, options.factor, options.order)
    given = {name: getattr(options, name) for name in InferenceSettings.__dataclass_fields__}
    try:
        settings = InferenceSettings(**{name: value for name, value in given.items() if value is not None})
        restorer = Restorer(trained.networks, order, settings)
    except ValueError as error:
        raise UserError("--" + str(error).replace("_", "-")) from error
    restored = PhotoRestorer(restorer, options.device, options.precision)

    carried: dict[Job, Photo] = {}
    notes = Notes()

    def read(job: Job) -> torch.Tensor:
        photo = read_photo(job.source, max_pixels=options.max_pixels)
        notes.read(job, photo)
        image = photo_tensor(photo)
        alpha = None if photo.alpha is None else photo.alpha.copy()  # not a view, which keeps them all
        carried[job] = replace(photo, pixels=photo.pixels[:0].copy(), alpha=alpha)  # all but the pixels
        return image

    def pixels(job: Job) -> int:
        try:
            found = read_header(job.source, options.max_pixels)
        except UserError:  # said where it is read
            return 0
        return found.height * found.width

    def write(job: Job, image: torch.Tensor) -> None:
        # Where the one wait for the device is, in a thread.
        notes.written(job, write_photo(photo_with(carried.pop(job), image), job.target, options.quality))

    failures: list[str] = []
    done = run_pipeline(
        planned.jobs,
        read,
        restored,
        write,
        partial(batch_size, restored.home),
        pixels,
        threads=min(8, usable_cores()),
    )
    progress = tqdm(total=len(planned.jobs), unit="image", desc=", ".join(order), disable=None)
    finished = 0
    try:
        with progress, closing(done), torch.inference_mode():
            for job, failure in done:
                finished += 1
                progress.update()
                if failure is not None:
                    read_before = carried.pop(job, None) is not None  # and not yet being written
                    failures.append(_told(job, failure, options.tile, read_before))
    except KeyboardInterrupt:
        print(f"stopped after {finished} of {len(planned.jobs)} images: go on with --skip-existing", file=sys.stderr)
        raise
    for line in (*notes.said(), *(f"not restored: {line}" for line in failures)):
        print(line, file=sys.stderr)
    there = f", {planned.skipped} there already" if planned.skipped else ""
    network = next(iter(restorer.networks.values()))
    where, precision = str(restored.device), str(restored.precision).removeprefix("torch.")
    if isinstance(network, OnnxNetwork):
        where, precision = network.device, network.description.precision
    print(
        f"{len(planned.jobs) - len(failures)} of {len(planned.jobs)} images restored in {options.output}"
        f" ({where}, {precision}){there}"
    )
    return 1 if failures else 0


def _restorer(options: argparse.Namespace) -> "Restorer":
    """The networks that the command line names; of an exported one it says the rest too."""
    from restore_lightning.inference import Restorer

    if options.checkpoint.endswith(".onnx"):
        from restore_lightning.export.onnx_network import exported_restorer

        return exported_restorer(options)
    weights = find_weights(options.checkpoint)
    if weights.from_hub:
        print(f"weights: {weights.name}", file=sys.stderr)
    return Restorer.from_checkpoint(weights.name)


def _told(job: Job, error: Exception, tile: int | None, restoring: bool) -> str:
    """Why a file was not restored, in one line; tiles help where the network was at it, not where a file was."""
    from restore_lightning.io.image_files import too_large
    from restore_lightning.runs.memory import is_out_of_memory

    what = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UserError):
        return what
    if is_out_of_memory(error) and not restoring:
        return f"{job.source} {too_large(error)}"
    if is_out_of_memory(error):
        remedy = "restore it in tiles, e.g. --tile 512" if tile is None else f"give a smaller --tile than {tile}"
        what = f"too large for the memory: {remedy}: {what}"
    return f"{job.source}: {what}"


def add_passes(made: argparse.ArgumentParser) -> None:
    """The flags that `choose_order` reads."""
    how = made.add_mutually_exclusive_group()
    how.add_argument(
        "--factor",
        help="the degradation to remove, one of the network's factors; a network without branches needs none",
    )
    how.add_argument(
        "--order",
        metavar="F1,F2,...",
        help="remove all factors in this order, for images whose degradation is not known; without --factor and"
        " --order a recurrently fine-tuned network (R-MBN) uses its own order",
    )


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

    if len(factors) == 1 and ", " in factors[0]:  # see `Restorer.told_nothing`
        for flag, given in (("factor", factor), ("order", order)):
            if given is not None:
                raise UserError(
                    f"--{flag} {given}: this network removes {factors[0]} at once and is told none, leave it out"
                )
        return list(factors)
    if order is not None:
        try:
            return order_given([name.strip() for name in order.split(",") if name.strip()], factors, own)
        except ValueError as error:
            raise UserError(f"--{error}") from error
    if factor is not None:
        if factor not in factors:
            near = f"; several in turn: --order {factor}" if "," in factor else did_you_mean(factor, factors)
            raise UserError(f"unknown --factor {factor}: this network has {', '.join(factors)}{near}")
        return [factor]
    if own is not None:
        return list(own)
    if len(factors) == 1:
        return list(factors)
    raise UserError(
        f"no --factor given: this network has {', '.join(factors)}; give one of them, or --order {','.join(factors)}"
        " (any order) for images whose degradation is not known"
    )
