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
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.files import check_output, json_text, user_path, write_text

if TYPE_CHECKING:
    import numpy as np

    from restore_lightning.io.image_folders import Matches
    from restore_lightning.metrics import Protocol

COLUMNS = ("name", "psnr", "ssim")
WRITTEN = b'{\n  "protocol": ', b"name,psnr,ssim,identical"
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
    made.add_argument(
        "--protocol",
        required=True,
        action="extend",
        type=lambda text: text.split(","),
        metavar="NAME[,NAME...]",
        help=f"how, several at once with commas or by naming it again: {', '.join(PROTOCOLS)}",
    )
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
    chosen = _protocols(options.protocol, options.scale)
    _check_outputs({"--json": options.json, "--csv": options.csv}, options.overwrite)

    from restore_lightning.io.image_folders import left_out, match, several_pictures

    restored, clean = options.restored, options.clean
    matches = match(restored, clean)
    if not matches.pairs:
        raise UserError(f"{'; '.join(matches.problems())}. Images are matched by name without suffix: rename them")
    if restored.samefile(clean):
        print(f"{restored} and {clean} are the same: its images are compared with themselves", file=sys.stderr)
    if matches.others:
        print(left_out(matches.others), file=sys.stderr)
    reader = _Reader(options.bits, options.max_pixels)
    images, failures = _scores(chosen, matches, reader)
    if reader.several:
        print(several_pictures(dict(sorted(reader.several.items()))), file=sys.stderr)
    if reader.transparent:
        have = "1 file has" if len(reader.transparent) == 1 else f"{len(reader.transparent)} files have"
        named = shortened_list(sorted(reader.transparent), 3)
        print(f"{have} transparent pixels, colours are scored and alpha is not: {named}", file=sys.stderr)
    for failure in failures:
        print(f"not scored: {failure}", file=sys.stderr)
    if not images:
        raise UserError(f"none of {len(matches.pairs)} images could be scored", exit_code=1)
    reports = {one.name: _report(one.name, images) for one in chosen}
    print(_table(reports))
    _write(reports, failures, options.json, options.csv)
    return 1 if failures else 0


def _protocols(names: Sequence[str], scale: int | None) -> Sequence["Protocol"]:
    from restore_lightning.metrics import protocols

    if scale is not None and scale < 1:
        raise UserError(f"--scale {scale}: give at least 1")
    chosen = protocols(names, scale or 1)
    shaving = [one.name for one in chosen if one.shaves]
    if shaving and scale is None:
        raise UserError(f"--protocol {shaving[0]} leaves out a border as wide as the scale: give --scale, e.g. 2")
    if not shaving and scale is not None:
        raise UserError(f"--scale {scale}: --protocol {','.join(names)} leaves no border out, drop it")
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


def _scores(
    chosen: Sequence["Protocol"], matches: "Matches", reader: "_Reader"
) -> tuple[list[dict[str, Any]], list[str]]:
    """Every image's name and scores by each protocol, and what could not be scored."""
    from tqdm import tqdm

    from restore_lightning.io.image_files import too_large

    def attempt(pair: tuple[str, tuple[Path, Path]]) -> dict[str, Any] | str:
        name, files = pair
        try:
            return {"name": name, "scores": _pair_scores(chosen, reader, *files)}
        except UserError as error:
            return str(error)
        except MemoryError as error:
            return f"{files[0]} {too_large(error)}"
        except Exception as error:
            return f"{files[0]}: {' '.join(str(error).split()) or type(error).__name__}"

    with ThreadPoolExecutor(min(usable_cores(), MOST_THREADS)) as threads:
        done = threads.map(attempt, sorted(matches.pairs.items()))
        what = ", ".join(one.name for one in chosen)
        found = list(tqdm(done, total=len(matches.pairs), unit="image", desc=what, disable=None))
    failures = [*matches.problems(), *(result for result in found if isinstance(result, str))]
    return [result for result in found if not isinstance(result, str)], failures


class _Reader:
    """Reads images to be scored, and notes which files hold several, and which more than colours.

    Args:
        bits: `--bits`.
        max_pixels: `--max-pixels`.
    """

    def __init__(self, bits: int | None, max_pixels: int | None) -> None:
        if bits is not None and not 9 <= bits <= 16:
            raise UserError(f"--bits {bits}: give 9 to 16, what files of 16 bits hold")
        self.bits, self.max_pixels = bits or 16, max_pixels
        self.several: dict[str, int] = {}
        self.transparent: set[str] = set()

    def read(self, path: Path) -> "np.ndarray":
        """(1, C, H, W): uint8, or float64 in [0, 1] of a file with more bits; one channel of a gray one."""
        from restore_lightning.io.image_files import read_photo

        photo = read_photo(path, max_pixels=self.max_pixels)
        if photo.pictures > 1:
            self.several[str(path)] = photo.pictures
        if photo.alpha is not None and photo.alpha.min() < 2 ** (8 * photo.alpha.itemsize) - 1:
            self.transparent.add(str(path))
        image = photo.pixels.transpose(2, 0, 1)[None]
        if image.dtype == "uint8":
            return image
        if image.max() >= 2**self.bits:
            raise UserError(f"{path} holds values up to {image.max()}: more than --bits {self.bits} has")
        return image / (2**self.bits - 1)


def _pair_scores(
    chosen: Sequence["Protocol"], reader: _Reader, restored: Path, clean: Path
) -> dict[str, dict[str, float]]:
    images = [reader.read(path) for path in (restored, clean)]
    if images[0].shape[1] != images[1].shape[1]:  # one of them is gray
        images = [image.repeat(4 - image.shape[1], axis=1)[:, :3] for image in images]
    if images[0].shape != images[1].shape:
        sizes = [f"{image.shape[3]}x{image.shape[2]}" for image in images]
        raise UserError(f"{restored} is {sizes[0]}, {clean} is {sizes[1]}: sizes must agree")
    return {one.name: {score: values.item() for score, values in one.scores(*images).items()} for one in chosen}


def _report(protocol: str, images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the files say of a protocol: every image's scores, their mean, and how many images are identical."""
    import numpy as np

    from restore_lightning.metrics import mean_scores

    rows = [{"name": image["name"], **image["scores"][protocol]} for image in images]
    means = mean_scores(*(np.array([row[score] for row in rows]) for score in ("psnr", "ssim")))
    return {"images": rows, "mean": {"psnr": means.psnr, "ssim": means.ssim}, "identical": means.identical}


def _table(reports: dict[str, dict[str, Any]]) -> str:
    """A line for each image and for the mean; a column for each protocol, named if there are several."""
    images = next(iter(reports.values()))["images"]
    count = len(images)
    names = [*(image["name"] for image in images), f"mean of {count} image{'s' if count > 1 else ''}"]
    columns = [
        [f"{row['psnr']:>7.3f} dB  {row['ssim']:.4f}" for row in (*report["images"], report["mean"])]
        for report in reports.values()
    ]
    if len(reports) > 1:
        names = ["", *names]
        columns = [[name, *column] for name, column in zip(reports, columns, strict=True)]
    widths = [max(map(len, column)) for column in (names, *columns)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(names, *columns, strict=True)
    ]
    for protocol, report in reports.items():
        if report["identical"]:
            left_out = ", left out of its mean" if report["identical"] < count else ""
            by = f" by {protocol}" if len(reports) > 1 else ""
            lines.append(f"{report['identical']} of {count} equal the clean image{by}: infinite PSNR{left_out}")
    return "\n".join(lines)


def _write(
    reports: dict[str, dict[str, Any]], failures: list[str], json_file: Path | None, csv_file: Path | None
) -> None:
    """The first protocol's scores as one protocol's alone; of several, those of each beside them."""
    several = len(reports) > 1
    if json_file:
        first, report = next(iter(reports.items()))
        content = {"protocol": first, **report, "not_scored": failures}
        write_text(json_file, json_text(content | ({"protocols": reports} if several else {})))
    if csv_file:
        text = io.StringIO()
        table = csv.DictWriter(text, [*COLUMNS, "identical", *["protocol"] * several], lineterminator="\n")
        table.writeheader()
        for protocol, report in reports.items():
            by = {"protocol": protocol} if several else {}
            rows = [{**image, "identical": int(image["psnr"] == float("inf"))} for image in report["images"]]
            mean = {"name": "mean", **report["mean"], "identical": report["identical"]}
            table.writerows({**row, **by} for row in (*rows, mean))
        write_text(csv_file, text.getvalue())
