"""`restore table`: a published table beside ours."""

import argparse
import sys

from restore_lightning.errors import UserError
from restore_lightning.io.files import check_output, user_path, write_text
from restore_lightning.paper_tables.comparison import compare
from restore_lightning.paper_tables.formats import FORMATS
from restore_lightning.paper_tables.printed import table, tables
from restore_lightning.reports.scores_json import read_all_scores


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore table",
        description="Print a table of the papers, with our scores where they belong.",
        allow_abbrev=False,
    )
    made.add_argument("name", metavar="NAME", nargs="?", help="e.g. drn-1; without it: all tables and what they show")
    made.add_argument(
        "--results", type=user_path, metavar="DIR", help="folder with your runs: every scores.json below it is read"
    )
    made.add_argument("--format", choices=list(FORMATS), default="markdown", help="default: markdown")
    made.add_argument("--output", type=user_path, metavar="FILE", help="write the table instead of printing it")
    made.add_argument("--overwrite", action="store_true", help="replace FILE")
    return made


def run(words: list[str]) -> int:
    """Print or write a table; 1 where a scores.json could not be used."""
    options = parser().parse_args(words)
    if options.name is None:
        if options.results or options.output:
            raise UserError("name a table, e.g. restore table drn-1 --results runs; restore table lists them")
        width = max(map(len, tables()))
        print(*(f"{name:<{width}}  {published.title}" for name, published in tables().items()), sep="\n")
        return 0
    published = table(options.name)
    output = options.output
    if output is not None:
        check_output("--output", output, options.overwrite)
    runs, problems = read_all_scores(options.results) if options.results else ({}, [])
    comparison = compare(published, runs)
    text = FORMATS[options.format](comparison)
    if output is None:
        print(text, end="")
    else:
        write_text(output, text)
        print(f"written: {output}")
    if options.results and len(comparison.rows) == len(published.rows) + len(published.measured):
        print(f"nothing of ours below {options.results} belongs in {published.name}", file=sys.stderr)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if problems else 0
