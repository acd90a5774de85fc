"""`restore mix`: write degraded versions of clean images as tar shards, by the recipe of paper 2 or of CDD-11."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.files import user_path

if TYPE_CHECKING:
    from restore_lightning.data.mixed_set import Original


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore mix",
        description="Write degraded versions of clean images as tar shards, and manifest.jsonl with every parameter of"
        " every image. mbn: the mixed-degradation data set of Liu et al. (2020), section 5.4 and appendix C: pure and"
        " mixed training sets, 16 test sets. cdd11: eleven degradations, as CDD-11 (Guo et al. 2024).",
        allow_abbrev=False,
    )
    made.add_argument("output", type=user_path, metavar="OUT", help="folder to write, named as --data.root afterwards")
    made.add_argument("--recipe", choices=["mbn", "cdd11"], default="mbn", help="what is made (default mbn)")
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--root",
        type=user_path,
        help="clean images in ROOT/clear with ROOT/depth/NAME.npy (metres) or NAME.png (16 bit, millimetres), or with"
        " RESIDE-beta's hazy versions ROOT/hazy/NAME_AIRLIGHT_BETA.jpg; for cdd11 depth may be missing, and the images"
        " may lie in ROOT itself",
    )
    source.add_argument("--scenes", type=int, metavar="N", help="N procedural scenes, whose depth is known")
    made.add_argument("--size", type=int, default=256, help="side of a procedural scene in pixels (default 256)")
    made.add_argument(
        "--test",
        metavar="N|FILE",
        help="number of test images, or a file with their names, one per line; default: the published"
        " set's share (492 of 8970, 200 of 1383), at least 1",
    )
    made.add_argument("--val", type=int, default=0, metavar="N", help="images for validation (default 0)")
    made.add_argument("--seed", type=int, default=0, help="of splits and parameters (default 0)")
    made.add_argument("--workers", type=int, default=0, help="processes that degrade images; same bytes for any number")
    made.add_argument(
        "--allow-missing", type=int, default=0, metavar="N", help="leave out up to N images that cannot be read"
    )
    made.add_argument("--overwrite", action="store_true", help="replace a data set that is in OUT already")
    return made


def run(words: list[str]) -> int:
    """Write the data set; a call that was killed goes on where it stopped."""
    options = parser().parse_args(words)
    for name, least in (("scenes", 2), ("size", 16), ("val", 0), ("seed", 0), ("workers", 0), ("allow_missing", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
    output = options.output.resolve()

    from restore_lightning.data.mixed_set import MixedSample, originals, scenes
    from restore_lightning.data.mixing_recipes import RECIPES
    from restore_lightning.data.shards.packing import check_set_folder, pack
    from restore_lightning.data.shards.reader import MANIFEST

    check_set_folder(output, options.overwrite)
    recipe = RECIPES[options.recipe]
    if options.root:
        images = originals(options.root, recipe.stand_in_depth)
    else:
        images = scenes(options.scenes, options.size, options.seed)
    splits = split(images, options.test, options.val, options.seed, recipe.test_share)

    samples = [
        MixedSample(part, image, options.seed, options.recipe) for part, members in splits.items() for image in members
    ]
    about = {"set": recipe.about, "seed": options.seed}
    packed = pack(samples, output, about, options.workers, options.allow_missing, options.overwrite)
    for problem in packed.problems:
        print(f"left out: {problem}", file=sys.stderr)
    counts = ", ".join(f"{count} {name}" for name, count in packed.samples.items())
    print(f"{output}: {counts} images; {output / MANIFEST} lists every parameter")
    without = sum(not image.depth_known for image in images)
    if without:
        print(
            f"haze of {without} of {len(images)} images is over a stand-in: they have no {options.root / 'depth'}/NAME"
        )
    return 0


def split(
    images: "Sequence[Original]", test: str | None, val: int, seed: int, test_share: float
) -> "dict[str, list[Original]]":
    """Divide the images.

    Args:
        images: All of them.
        test: Number of test images, or a file with their names; None: `test_share`.
        val: Number of validation images.
        seed: Of the division.
        test_share: Of the published set's images.

    Raises:
        UserError: Names that are no images, or nothing left to train on.
    """
    from restore_lightning.seeding import generator

    shuffled = [images[i] for i in generator(seed, "split").permutation(len(images))]
    if test is not None and not test.isdecimal():
        path = user_path(test)
        if not path.is_file():
            raise UserError(f"--test {test}: no number, and no file of this name")
        try:
            listed = {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
        except ValueError as error:
            raise UserError(f"--test {test}: no text file: {error}") from error
        by_name = {known: image.name for image in images for known in (image.name, Path(image.source).name)}
        unknown = sorted(listed - by_name.keys())
        if unknown:
            some = shortened_list([image.name for image in images], 2)
            raise UserError(
                f"--test {test}: {len(unknown)} of {len(listed)} lines name no image of the set:"
                f" {shortened_list(unknown)}; its images are called {some}"
            )
        names = {by_name[line] for line in listed}
    else:
        count = int(test) if test is not None else max(1, round(test_share * len(images)))
        names = {image.name for image in shuffled[:count]}
    rest = [image for image in shuffled if image.name not in names]
    if not names or val >= len(rest):
        raise UserError(
            f"of {len(images)} images {len(names)} are for test (--test) and {val} for validation (--val):"
            " leave at least one for test and one to train on"
        )
    parts = {
        "train": {image.name for image in rest[val:]},
        "val": {image.name for image in rest[:val]},
        "test": names,
    }
    return {part: [image for image in images if image.name in members] for part, members in parts.items() if members}
