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
from restore_lightning.io.files import check_output, json_text, user_path, write_text

if TYPE_CHECKING:
    import numpy as np

    from restore_lightning.io.image_folders import Matches
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
    made.add_argument("restored", type=user_path, metavar="RESTORED", help="a folder of restored images, or a file")
    made.add_argument(
        "clean", type=user_path, metavar="CLEAN", help="the clean images, of the same names; suffixes may differ"
    )
    made.add_argument("--protocol", required=True, help=f"how: {', '.join(PROTOCOLS)}")
    made.add_argument("--scale", type=int, help="by how much images were enlarged: sr-y leaves that border out")
    made.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="files of 16 bits hold values of N bits, 9 to 16 (default), e.g. 12 as cameras' sensors do",
    )
    made.add_argument("--max-pixels", type=int, metavar="N", help="read images of up to N pixels, however small a file")
    made.add_argument("--json", type=user_path, metavar="FILE", help="write every image's scores, and their mean")
    made.add_argument("--csv", type=user_path, metavar="FILE", help="the same as a table, the mean in its last row")
    made.add_argument("--overwrite", action="store_true", help="replace files that are no earlier scores")
    return made


def run(words: list[str]) -> int:
    """Score each image; print them and their mean."""
    options = parser().parse_args(words)
    scored = _protocol(options.protocol, options.scale)
    _check_outputs({"--json": options.json, "--csv": options.csv}, options.overwrite)

    import numpy as np

    from restore_lightning.io.image_folders import left_out, match, several_pictures
    from restore_lightning.metrics import mean_scores

    restored, clean = options.restored, options.clean
    matches = match(restored, clean)
    if not matches.pairs:
        raise UserError(f"{'; '.join(matches.problems())}. Images are matched by name without suffix: rename them")
    if restored.samefile(clean):
        print(f"{restored} and {clean} are the same: its images are compared with themselves", file=sys.stderr)
    if matches.others:
        print(left_out(matches.others), file=sys.stderr)
    reader = _Reader(options.bits, options.max_pixels)
    images, failures = _scores(scored, matches, reader)
    if reader.several:
        print(several_pictures(dict(sorted(reader.several.items()))), file=sys.stderr)
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


def _check_outputs(files: dict[str, Path | None], overwrite: bool) -> None:
    """Refuse them before anything is scored."""
    given = {flag: path for flag, path in files.items() if path}
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


def _scores(scored: "Protocol", matches: "Matches", reader: "_Reader") -> tuple[list[dict[str, Any]], list[str]]:
    """Every image's scores, by name, and what could not be scored."""
    from tqdm import tqdm

    from restore_lightning.io.image_files import too_large

    def attempt(pair: tuple[str, tuple[Path, Path]]) -> dict[str, Any] | str:
        name, files = pair
        try:
            return {"name": name, **_pair_scores(scored, reader, *files)}
        except UserError as error:
            return str(error)
        except MemoryError as error:
            return f"{files[0]} {too_large(error)}"
        except Exception as error:
            return f"{files[0]}: {' '.join(str(error).split()) or type(error).__name__}"

    with ThreadPoolExecutor(min(usable_cores(), MOST_THREADS)) as threads:
        done = threads.map(attempt, sorted(matches.pairs.items()))
        found = list(tqdm(done, total=len(matches.pairs), unit="image", desc=scored.name, disable=None))
    failures = [*matches.problems(), *(result for result in found if isinstance(result, str))]
    return [result for result in found if not isinstance(result, str)], failures


class _Reader:
    """Reads images to be scored, and notes which files hold several.

    Args:
        bits: `--bits`.
        max_pixels: `--max-pixels`.
    """

    def __init__(self, bits: int | None, max_pixels: int | None) -> None:
        if bits is not None and not 9 <= bits <= 16:
            raise UserError(f"--bits {bits}: give 9 to 16, what files of 16 bits hold")
        self.bits, self.max_pixels = bits or 16, max_pixels
        self.several: dict[str, int] = {}

    def read(self, path: Path) -> "np.ndarray":
        """(1, C, H, W): uint8, or float64 in [0, 1] of a file with more bits; one channel of a gray one."""
        from restore_lightning.io.image_files import read_photo

        photo = read_photo(path, max_pixels=self.max_pixels)
        if photo.pictures > 1:
            self.several[str(path)] = photo.pictures
        image = photo.pixels.transpose(2, 0, 1)[None]
        if image.dtype == "uint8":
            return image
        if image.max() >= 2**self.bits:
            raise UserError(f"{path} holds values up to {image.max()}: more than --bits {self.bits} has")
        return image / (2**self.bits - 1)


def _pair_scores(scored: "Protocol", reader: _Reader, restored: Path, clean: Path) -> dict[str, float]:
    images = [reader.read(path) for path in (restored, clean)]
    if images[0].shape[1] != images[1].shape[1]:  # one of them is gray
        images = [image.repeat(4 - image.shape[1], axis=1)[:, :3] for image in images]
    if images[0].shape != images[1].shape:
        sizes = [f"{image.shape[3]}x{image.shape[2]}" for image in images]
        raise UserError(f"{restored} is {sizes[0]}, {clean} is {sizes[1]}: sizes must agree")
    return {score: values.item() for score, values in scored.scores(*images).items()}


def _table(images: Sequence[dict[str, Any]], mean: dict[str, float], identical: int) -> str:
    rows = [*images, {"name": f"mean of {len(images)} image{'s' if len(images) > 1 else ''}", **mean}]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{row['name']:<{width}}  {row['psnr']:>7.3f} dB  {row['ssim']:.4f}" for row in rows]
    if identical:
        left_out = ", left out of its mean" if identical < len(images) else ""
        lines.append(f"{identical} of {len(images)} equal the clean image: infinite PSNR{left_out}")
    return "\n".join(lines)


def _write(report: dict[str, Any], json_file: Path | None, csv_file: Path | None) -> None:
    if json_file:
        write_text(json_file, json_text(report))
    if csv_file:
        text = io.StringIO()
        table = csv.DictWriter(text, [*COLUMNS, "identical"], lineterminator="\n")
        table.writeheader()
        table.writerows({**image, "identical": int(image["psnr"] == float("inf"))} for image in report["images"])
        table.writerow({"name": "mean", **report["mean"], "identical": report["identical"]})
        write_text(csv_file, text.getvalue())
