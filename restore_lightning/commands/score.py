"""`restore score`: PSNR and SSIM of two folders of images, or two files."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from restore_lightning.errors import UserError


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
    made.add_argument("--overwrite", action="store_true", help="replace FILE")
    return made


def run(words: list[str]) -> int:
    """Score each image; print them and their mean."""
    options = parser().parse_args(words)

    from restore_lightning.metrics import protocol

    if options.scale is not None and options.scale < 1:
        raise UserError(f"--scale {options.scale}: give at least 1")
    chosen = protocol(options.protocol, options.scale or 1)
    if chosen.shaves and options.scale is None:
        raise UserError(f"--protocol {chosen.name} leaves out a border as wide as the scale: give --scale, e.g. 2")
    if not chosen.shaves and options.scale is not None:
        raise UserError(f"--scale {options.scale}: --protocol {chosen.name} leaves no border out, drop it")
    if options.json and (Path(options.json).is_dir() or Path(options.json).parent.is_file()):
        raise UserError(f"--json {options.json} is no place for a file: name another")
    if options.json and Path(options.json).exists() and not options.overwrite:
        raise UserError(f"--json {options.json} exists already: give --overwrite or another name")

    from restore_lightning.data.pairs import matched
    from restore_lightning.files import write_text
    from restore_lightning.metrics.functional import WINDOW_SIZE

    pairs = matched(Path(options.restored), Path(options.clean))
    images: list[dict[str, Any]] = []
    failures = []
    for pair in pairs:
        try:
            images.append({"name": pair.name, **_scores(chosen, pair)})
        except UserError as error:
            failures.append(str(error))
    for failure in failures:
        print(f"not scored: {failure}", file=sys.stderr)
    if not images:
        raise UserError(
            f"none of {len(pairs)} images could be scored (they need {WINDOW_SIZE[chosen.window]} pixels per side, and"
            " equal sizes)",
            exit_code=1,
        )
    mean = _mean(images)
    rows = [*images, {"name": f"mean of {len(images)} images", **mean}]
    width = max(len(row["name"]) for row in rows)
    for image in rows:
        print(f"{image['name']:<{width}}  {image['psnr']:>7.3f} dB  {image['ssim']:.4f}")
    identical = sum(image["psnr"] == float("inf") for image in images)
    if identical:
        left_out = ", left out of its mean" if identical < len(images) else ""
        print(f"{identical} of {len(images)} equal the clean image: infinite PSNR{left_out}")
    if options.json:
        report = {"protocol": chosen.name, "images": images, "mean": mean}
        write_text(Path(options.json), json.dumps(report, indent=2) + "\n")
    return 1 if failures else 0


def _scores(chosen: Any, pair: Any) -> dict[str, float]:
    from restore_lightning.images import to_float
    from restore_lightning.metrics.functional import WINDOW_SIZE

    restored, clean, _ = pair.read("")
    if restored.shape != clean.shape:
        sizes = [f"{image.shape[2]}x{image.shape[1]}" for image in (restored, clean)]
        raise UserError(f"{pair.degraded} is {sizes[0]}, {pair.clean} is {sizes[1]}: sizes must agree")
    least = WINDOW_SIZE[chosen.window] + (2 * chosen.scale if chosen.shaves else 0)
    if min(clean.shape[1:]) < least:
        raise UserError(f"{pair.clean} is smaller than {least}x{least} pixels, which SSIM's window needs")
    batch = [to_float(image)[None] for image in (restored, clean)]
    return {"psnr": float(chosen.psnr(*batch)), "ssim": float(chosen.ssim(*batch))}


def _mean(images: list[dict[str, Any]]) -> dict[str, float]:
    import torch

    from restore_lightning.metrics import mean_over_images

    return {
        score: mean_over_images(torch.tensor([image[score] for image in images], dtype=torch.float64))
        for score in ("psnr", "ssim")
    }
