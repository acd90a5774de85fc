"""Builds the site: `python -m scripts.documentation.build`. A warning is an error."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from scripts.documentation import links
from scripts.documentation.api import write_api
from scripts.documentation.pages import ROOT, stage

CONFIG = Path(__file__).parent / "mkdocs.yml"
REFERENCE = {
    "The command": "reference/command.md",
    "Config keys": "reference/config.md",
    "scores.json": "reference/scores_json.md",
    "Shards": "reference/shards.md",
}


def build(output: Path) -> list[str]:
    """Build the site.

    Args:
        output: A folder for it, emptied first; the pages come to be in its folder `site`.

    Returns:
        What is wrong.
    """
    shutil.rmtree(output, ignore_errors=True)
    source = output / "source"
    source.mkdir(parents=True)
    problems = stage(source)
    api = write_api(source)
    _write_reference(source)
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config |= {"docs_dir": "source", "site_dir": "site", "nav": _nav(config["nav"], source, api)}
    python = config["plugins"][1]["mkdocstrings"]["handlers"]["python"]
    python["paths"] = [str(ROOT)]
    python["options"]["extensions"] = [str(ROOT / each) for each in python["options"]["extensions"]]
    (output / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    zensical = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(output / "mkdocs.yml")]
    done = subprocess.run(
        zensical, cwd=output, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    told = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
    if done.returncode != 0 or "warning" in told.lower():
        problems.append(told.strip())
    return problems + list(links.problems(output / "site"))


def _write_reference(source: Path) -> None:
    from scripts.documentation.command_page import command_page
    from scripts.documentation.config_page import config_page
    from scripts.documentation.formats_page import scores_page, shards_page

    for path, page in zip(REFERENCE.values(), (command_page, config_page, scores_page, shards_page), strict=True):
        (source / path).write_text(page(), encoding="utf-8")


def _nav(nav: list[dict[str, Any]], source: Path, api: list[str]) -> list[dict[str, Any]]:
    """The menu with the pages that it does not name."""
    sections = {title: pages for entry in nav for title, pages in entry.items()}
    named = set(re.findall(r"\S+\.md", yaml.safe_dump(nav)))
    others = sorted(path.name for path in source.glob("*.md") if path.name not in named)
    sections["How to"] += [{_title(source / name): name} for name in others]
    modules = [{path.stem.removeprefix("restore_lightning."): str(path)} for path in map(PurePosixPath, api)]
    sections["Reference"] += [*({title: path} for title, path in REFERENCE.items()), {"Python": modules}]
    return nav


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def main() -> int:
    """Build, and say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--output", type=Path, default=ROOT / "build/documentation", help="default: %(default)s")
    output = parser.parse_args().output.resolve()
    problems = build(output)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{output / 'site'}: {f'{len(problems)} problems' if problems else 'ok'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
