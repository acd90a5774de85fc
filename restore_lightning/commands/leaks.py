"""`restore shards leaks`: test images that are in the training data."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from restore_lightning.commands.cpu_cores import usable_cores
from restore_lightning.errors import LISTED, UserError, shortened_list
from restore_lightning.io.files import check_folder, check_output, json_text, user_path, write_text

if TYPE_CHECKING:
    from restore_lightning.data.leaks.search import LeakPair, Leaks

SAID = {"exact": "equal", "crop": "equal in part", "near": "near duplicates"}
"""Kinds of pairs, for people."""


DESCRIPTION = (
    "Find test images that are in the training data: equal ones, crops, flipped or turned ones, and near duplicates"
    " (resized, recompressed). Exit code 1 if there are any."
)


def add_arguments(made: argparse.ArgumentParser) -> None:
    """Its part of the command line of `restore shards`."""
    made.add_argument(
        "train", type=user_path, nargs="+", metavar="TRAIN", help="folders of images or of shards (their split train)"
    )
    made.add_argument(
        "--test",
        type=user_path,
        nargs="+",
        required=True,
        metavar="TEST",
        help="the same of the test images (of shards the other splits)",
    )
    made.add_argument("--json", type=user_path, metavar="FILE", help="write all pairs")
    made.add_argument("--report", type=user_path, metavar="DIR", help="write a page with pictures: DIR/index.html")
    made.add_argument("--overwrite", action="store_true", help="replace FILE and DIR/index.html")
    made.add_argument("--workers", type=int, metavar="N", help="processes; default: one per core, at most 8")


def run(options: argparse.Namespace) -> int:
    """Search, print the pairs, write what is asked for; 1 where there are any, or images that cannot be read."""
    if options.workers is not None and options.workers < 0:
        raise UserError(f"--workers {options.workers}: give at least 0")
    page = options.report and options.report / "index.html"
    for flag, path in (("--json", options.json), ("--report", page)):
        if path is not None:
            check_output(flag, path, options.overwrite)
    if options.report is not None:
        check_folder("--report", options.report)

    from restore_lightning.data.leaks.images import images_of
    from restore_lightning.data.leaks.search import find_leaks
    from restore_lightning.io.image_folders import left_out

    train, test = images_of(options.train, training=True), images_of(options.test, training=False)
    others = list(dict.fromkeys([*train.others, *test.others]))
    if others:
        print(left_out(others), file=sys.stderr)
    workers = min(8, usable_cores()) if options.workers is None else options.workers
    leaks = find_leaks(train.entries, test.entries, workers)
    counts = len(train.entries), len(test.entries)
    _print(leaks, *counts)
    if options.json:
        report = {"train": counts[0], "test": counts[1], "not_read": leaks.problems, "plain": leaks.plain}
        write_text(options.json, json_text({**report, "pairs": [pair.as_dict() for pair in leaks.pairs]}))
    if page:
        from restore_lightning.reports.leaks_page import render_leaks

        read = {entry.name: entry.read for entry in (*train.entries, *test.entries)}
        write_text(page, render_leaks(leaks, read, summary(leaks.pairs, *counts)))
        print(f"pictures: {page}")
    return 1 if leaks.pairs or leaks.problems else 0


def _print(leaks: "Leaks", train: int, test: int) -> None:
    for pair in leaks.pairs:
        print(_line(pair))
    for problem in leaks.problems[:LISTED]:
        print(f"not compared: {problem}", file=sys.stderr)
    if leaks.problems:
        print(f"{len(leaks.problems)} of {train + test} images cannot be read", file=sys.stderr)
    if leaks.plain:
        are = "1 test image has" if len(leaks.plain) == 1 else f"{len(leaks.plain)} test images have"
        print(f"{are} too little structure to be known again changed: {shortened_list(leaks.plain)}", file=sys.stderr)
    print(summary(leaks.pairs, train, test))


def _line(pair: "LeakPair") -> str:
    said = ", ".join([pair.kind, *pair.changes])
    psnr = "" if pair.found.equal else f", {pair.found.psnr:.1f} dB"
    return f"{pair.test} = {pair.train} ({said}{psnr})"


def summary(pairs: "Sequence[LeakPair]", train: int, test: int) -> str:
    """What is said of all pairs in a line."""
    found = len({pair.test for pair in pairs})
    kinds = Counter(pair.kind for pair in pairs)
    said = ", ".join(f"{kinds[kind]} {words}" for kind, words in SAID.items() if kinds[kind])
    detail = f", {len(pairs)} pairs: {said}" if pairs else ""
    return f"{found} of {test} test images are in the {train} training images{detail}"
