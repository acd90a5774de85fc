"""`restore score`: PSNR and SSIM of two folders of images, or two files."""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_lightning.commands.cpu_cores import usable_cores
from restore_lightning.errors import UserError
from restore_lightning.io.files import check_output, json_text, write_text

if TYPE_CHECKING:
    from restore_lightning.io.image_files import Matches
    from restore_lightning.metrics import Protocol

COLUMNS = ("name", "psnr", "ssim")
WRITTEN = b'{\n  "protocol": ', b"name,psnr,ssim,identical\n"
"""How this command's files begin."""
MOST_THREADS = 8
"""More would need the memory of as many pairs of images, and read files no faster."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from restore_lightning.metrics import PROTOCOLS

    made = argparse.ArgumentParser(
        prog="restore score",
        description="Score restored images against clean ones, as the papers do.",
        allow_abbrev=False,
    )
    made.add_argument("restored", metavar="RESTORED", help="a folder of restored images, or a file")
    made.add_argument("clean", metavar="CLEAN", help="the clean images, of the same names; suffixes may differ")
    made.add_argument("--protocol", required=True, help=f"how: {', '.join(PROTOCOLS)}")
    made.add_argument("--scale", type=int, help="by how much images were enlarged: sr-y leaves that border out")
    made.add_argument("--json", metavar="FILE", help="write every image's scores, and their mean")
    made.add_argument("--csv", metavar="FILE", help="the same as a table, the mean in its last row")
    made.add_argument("--overwrite", action="store_true", help="replace files that are no earlier scores")
    return made


def run(words: list[str]) -> int:
    """Score each image; print them and their mean."""
    options = parser().parse_args(words)
    scored = _protocol(options.protocol, options.scale)
    _check_outputs({"--json": options.json, "--csv": options.csv}, options.overwrite)

    import numpy as np

    from restore_lightning.io.image_files import match
    from restore_lightning.metrics import mean_scores

    restored, clean = Path(options.restored), Path(options.clean)
    matches = match(restored, clean)
    if not matches.pairs:
        raise UserError(f"{'; '.join(matches.problems())}. Images are matched by name without suffix: rename them")
    if restored.samefile(clean):
        print(f"{restored} and {clean} are the same: its images are compared with themselves", file=sys.stderr)
    images, failures = _scores(scored, matches)
    for failure in failures:
        print(f"not scored: {failure}", file=sys.stderr)
    if not images:
        raise UserError(f"none of {len(matches.pairs)} images could be scored", exit_code=1)
    means = mean_scores(*(np.array([image[score] for image in images]) for score in ("psnr", "ssim")))
    mean, identical = {"psnr": means.psnr, "ssim": means.ssim}, means.identical
    print(_table(images, mean, identical))
    report = {"protocol": scored.name, "images": images, "mean": mean, "identical": identical, "not_scored": failures}
    _write(report, options.json, options.csv)
    return 1 if failures else 0


def _protocol(name: str, scale: int | None) -> "Protocol":
    from restore_lightning.metrics import protocol

    if scale is not None and scale < 1:
        raise UserError(f"--scale {scale}: give at least 1")
    chosen = protocol(name, scale or 1)
    if chosen.shaves and scale is None:
        raise UserError(f"--protocol {chosen.name} leaves out a border as wide as the scale: give --scale, e.g. 2")
    if not chosen.shaves and scale is not None:
        raise UserError(f"--scale {scale}: --protocol {chosen.name} leaves no border out, drop it")
    return chosen


def _check_outputs(files: dict[str, str | None], overwrite: bool) -> None:
    """Refuse them before anything is scored."""
    given = {flag: Path(file) for flag, file in files.items() if file}
    for flag, path in given.items():
        check_output(flag, path, overwrite or _earlier_scores(path))
    if len({path.resolve() for path in given.values()}) < len(given):
        raise UserError(f"{' and '.join(given)} name the same file: give two")


def _earlier_scores(path: Path) -> bool:
    """Whether this command wrote it: scoring again replaces its own scores, no other file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(30).startswith(WRITTEN)


def _scores(scored: "Protocol", matches: "Matches") -> tuple[list[dict[str, Any]], list[str]]:
    """Every image's scores, by name, and what could not be scored."""
    from tqdm import tqdm

    def attempt(pair: tuple[str, tuple[Path, Path]]) -> dict[str, Any] | str:
        name, files = pair
        try:
            return {"name": name, **_pair_scores(scored, *files)}
        except UserError as error:
            return str(error)
        except (OSError, ValueError, MemoryError) as error:
            return f"{files[0]}: {' '.join(str(error).split()) or type(error).__name__}"

    with ThreadPoolExecutor(min(usable_cores(), MOST_THREADS)) as threads:
        done = threads.map(attempt, sorted(matches.pairs.items()))
        found = list(tqdm(done, total=len(matches.pairs), unit="image", desc=scored.name, disable=None))
    failures = [*matches.problems(), *(result for result in found if isinstance(result, str))]
    return [result for result in found if not isinstance(result, str)], failures


def _pair_scores(scored: "Protocol", restored: Path, clean: Path) -> dict[str, float]:
    from restore_lightning.io.image_files import read_array

    images = [read_array(path, keep_gray=True).transpose(2, 0, 1)[None] for path in (restored, clean)]
    if images[0].shape[1] != images[1].shape[1]:  # one of them is gray
        images = [image.repeat(4 - image.shape[1], axis=1)[:, :3] for image in images]
    if images[0].shape != images[1].shape:
        sizes = [f"{image.shape[3]}x{image.shape[2]}" for image in images]
        raise UserError(f"{restored} is {sizes[0]}, {clean} is {sizes[1]}: sizes must agree")
    return {score: values.item() for score, values in scored.scores(*images).items()}


def _table(images: Sequence[dict[str, Any]], mean: dict[str, float], identical: int) -> str:
    rows = [*images, {"name": f"mean of {len(images)} images", **mean}]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{row['name']:<{width}}  {row['psnr']:>7.3f} dB  {row['ssim']:.4f}" for row in rows]
    if identical:
        left_out = ", left out of its mean" if identical < len(images) else ""
        lines.append(f"{identical} of {len(images)} equal the clean image: infinite PSNR{left_out}")
    return "\n".join(lines)


def _write(report: dict[str, Any], json_file: str | None, csv_file: str | None) -> None:
    if json_file:
        write_text(Path(json_file), json_text(report))
    if csv_file:
        text = io.StringIO()
        table = csv.DictWriter(text, [*COLUMNS, "identical"], lineterminator="\n")
        table.writeheader()
        table.writerows({**image, "identical": int(image["psnr"] == float("inf"))} for image in report["images"])
        table.writerow({"name": "mean", **report["mean"], "identical": report["identical"]})
        write_text(Path(csv_file), text.getvalue())
