"""`restore shards`: data sets in their published layouts -> tar shards; what shards hold; whether they are whole."""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from restore_lightning.commands import leaks
from restore_lightning.commands.cpu_cores import usable_cores
from restore_lightning.errors import LISTED, UserError, shortened_list
from restore_lightning.io.files import user_path


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore shards", description="Tar shards of images that are read without decoding.", allow_abbrev=False
    )
    verbs = made.add_subparsers(dest="verb", required=True, metavar="pack | info | verify | layouts | leaks")

    pack = verbs.add_parser("pack", help="a data set -> shards", allow_abbrev=False)
    pack.add_argument("layout", metavar="LAYOUT", help="see `restore shards layouts`; or a YAML file of your own")
    pack.add_argument("root", type=user_path, metavar="ROOT", help="folder of the data set")
    pack.add_argument("output", type=user_path, metavar="OUT", help="folder to write")
    pack.add_argument(
        "--store",
        choices=["arrays", "files"],
        default="arrays",
        help="arrays: uncompressed, read without decoding (default). files: as they are, smaller, decoded at each read",
    )
    pack.add_argument("--size", metavar="WxH", help="resize every image, e.g. 640x360, as OpenCV's resize does")
    pack.add_argument(
        "--list", type=user_path, metavar="FILE", help="take only the images that a text file names, one a line"
    )
    pack.add_argument("--split", help="call every sample's split this; default: as the layout says")
    pack.add_argument(
        "--allow-missing", type=int, default=0, metavar="N", help="leave out up to N images that do not fit (default 0)"
    )
    pack.add_argument("--workers", type=int, metavar="N", help="processes; default: one per core, at most 8")
    pack.add_argument("--shard-size", type=int, default=256, metavar="MIB", help="MiB per shard (default 256)")
    pack.add_argument("--overwrite", action="store_true", help="replace a data set that is in OUT already")

    info = verbs.add_parser("info", help="what shards hold", allow_abbrev=False)
    info.add_argument("output", type=user_path, metavar="OUT", help="folder of shards")

    verify = verbs.add_parser("verify", help="read all, compare with the index's checksums", allow_abbrev=False)
    verify.add_argument("output", type=user_path, metavar="OUT", help="folder of shards")
    verify.add_argument("--workers", type=int, metavar="N", help="processes; default: one per core, at most 8")

    layouts = verbs.add_parser("layouts", help="list the layouts, or the patterns of one", allow_abbrev=False)
    layouts.add_argument(
        "layout", metavar="LAYOUT", nargs="?", help="show where it expects its files, and their splits"
    )
    leaks.add_arguments(
        verbs.add_parser(
            "leaks",
            help="test images that are in the training data",
            description=leaks.DESCRIPTION,
            allow_abbrev=False,
        )
    )
    return made


def run(words: list[str]) -> int:
    """Do what the first word says."""
    options = parser().parse_args(words)
    return {"pack": _pack, "info": _info, "verify": _verify, "layouts": _layouts, "leaks": leaks.run}[options.verb](
        options
    )


def _pack(options: argparse.Namespace) -> int:
    for name, least in (("allow_missing", 0), ("workers", 0), ("shard_size", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
    if options.split is not None and not re.fullmatch(r"\w+", options.split):
        raise UserError(f"--split {options.split}: give a word, e.g. train or test")
    size = _size(options.size)
    if size is not None and options.store == "files":
        raise UserError("--size and --store files: files are kept as they are, give one of them")
    output, root = options.output.resolve(), options.root

    from restore_lightning.data.layouts.layout import layout
    from restore_lightning.data.layouts.matching import match_folder
    from restore_lightning.data.shards.packing import check_set_folder, pack
    from restore_lightning.io.image_folders import left_out, several_pictures

    chosen = layout(options.layout)
    check_set_folder(output, options.overwrite)
    samples, problems, unused, others, several = match_folder(
        chosen, root, options.split, size, options.store, image_list=options.list
    )
    allowed: int = options.allow_missing
    if len(problems) > allowed or not samples:
        raise UserError(
            f"{len(problems)} images below {root} do not fit layout {chosen.name}: {shortened_list(problems, LISTED)};"
            f" mend them, or leave them out by --allow-missing {len(problems)}",
            exit_code=1,
        )
    about = {"layout": chosen.name, "about": chosen.about, "store": options.store, "size": size}
    packed = pack(
        samples,
        output,
        about,
        _workers(options),
        allowed,
        options.overwrite,
        shard_bytes=options.shard_size * 2**20,
        left_out=problems,
    )
    for problem in packed.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if unused:
        folders = list(dict.fromkeys(str(Path(path).parent) for path in unused))
        print(f"not part of {chosen.name}: {len(unused)} images in {shortened_list(folders)}", file=sys.stderr)
    if others:
        print(left_out(others), file=sys.stderr)
    if several:
        print(several_pictures(dict(sorted(several.items()))), file=sys.stderr)
    counts = ", ".join(f"{count} {split}" for split, count in packed.samples.items())
    print(f"{output}: {counts} samples, {packed.members} images, {packed.bytes / 1e6:.1f} MB")
    return 0


def _info(options: argparse.Namespace) -> int:
    import numpy as np

    from restore_lightning.data.shards.index import DTYPES
    from restore_lightning.data.shards.reader import CLEAN, ShardSet

    shards = ShardSet(options.output)
    index = shards.index
    about = {key: value for key, value in index.about.items() if value is not None}
    print(*(f"{key}: {value}" for key, value in about.items()), sep="\n")
    kinds = Counter(DTYPES[number] for number in index.members["dtype"].tolist())
    size = sum(shard.bytes for shard in index.shards)
    print(f"{len(index.samples)} samples, {len(index.members)} images, {len(index.shards)} shards, {size / 1e6:.1f} MB")
    print(f"stored as {', '.join(kinds)}")
    for split in shards.splits:
        versions = ", ".join(
            f"{len(shards.rows(split, version))} {version}" for version in (CLEAN, *shards.versions(split))
        )
        sizes = shards.sizes(shards.rows(split, CLEAN))
        smallest, largest = sizes.min(axis=0), sizes.max(axis=0)
        sequences = len(np.unique(index.samples["sequence"][index.samples["split"] == shards.splits.index(split)]))
        of = f" of {sequences} sequences" if sequences > 1 else ""
        shown = f"{smallest[1]}x{smallest[0]}"
        if (smallest != largest).any():
            shown += f" to {largest[1]}x{largest[0]}"
        print(f"{split}: {versions}{of}; clean images {shown}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from restore_lightning.data.shards.reader import ShardSet
    from restore_lightning.data.shards.verify import verify

    shards = ShardSet(options.output)
    problems = verify(shards, _workers(options))
    for problem in problems[:LISTED]:
        print(problem, file=sys.stderr)
    if problems:
        more = "" if len(problems) <= LISTED else f", the first {LISTED} are named above"
        raise UserError(f"{options.output}: {len(problems)} problems{more}; pack the data again", exit_code=1)
    print(f"{options.output}: {len(shards.index.members)} images in {len(shards.index.shards)} shards are whole")
    return 0


def _layouts(options: argparse.Namespace) -> int:
    from restore_lightning.data.layouts.layout import layout, layouts

    if options.layout is not None:
        chosen = layout(options.layout)
        print(chosen.about)
        for part in chosen.parts:
            print(f"{part.split or 'split: that of the folder, or train'}")
            print(
                *(f"  {kind} {getattr(part, kind)}" for kind in ("degraded", "clean", "list") if getattr(part, kind)),
                sep="\n",
            )
        return 0
    known = layouts()
    width = max(map(len, known))
    for name, entry in known.items():
        print(f"{name:<{width}}  {entry.about}")
    return 0


def _workers(options: argparse.Namespace) -> int:
    return min(8, usable_cores()) if options.workers is None else int(options.workers)


def _size(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", given)
    if match is None:
        raise UserError(f"--size {given}: give WIDTHxHEIGHT in pixels, e.g. 640x360")
    return int(match[1]), int(match[2])
