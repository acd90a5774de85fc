"""The pages that people write: README, CONTRIBUTING and the like, and docs/."""

import os
import re
import shutil
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
"""Pages beside docs/; README is the first page."""
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
API = "reference/api"


def place(path: str) -> str | None:
    """Where the site has a page of the repository; None: it is no page.

    >>> place("README.md"), place("docs/data.md"), place("restore_lightning/losses.py"), place("Makefile")
    ('index.md', 'data.md', 'reference/api/restore_lightning.md', None)
    """
    if path == "README.md":
        return "index.md"
    if path in TOP:
        return path
    parts = PurePosixPath(path)
    if parts.parts[0] == "docs":
        return str(parts.relative_to("docs"))
    if parts.parts[0] == "restore_lightning" and parts.suffix == ".py":
        return f"{API}/{'.'.join(parts.parent.parts)}.md"
    return None


def stage(source: Path) -> list[str]:
    """Write all pages into one folder, their links changed to lead within it.

    Files that are linked to and are no pages go along.

    Args:
        source: The folder.

    Returns:
        Links to files that there are not.
    """
    problems: list[str] = []
    shutil.copytree(ROOT / "docs", source, dirs_exist_ok=True)
    for path in (*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))):
        name = path.relative_to(ROOT).as_posix()
        text = LINK.sub(lambda found, name=name: _link(found, name, source, problems), path.read_text(encoding="utf-8"))
        (source / str(place(name))).write_text(text, encoding="utf-8")
    shutil.copy(Path(__file__).parent / "style.css", source)
    return problems


def _link(found: re.Match[str], page: str, source: Path, problems: list[str]) -> str:
    before, target, after = found.groups()
    if re.match(r"[a-z]+:|#", target):
        return found[0]
    target, *anchor = target.split("#", 1)
    path = os.path.normpath(PurePosixPath(page).parent / target).replace(os.sep, "/")
    if not (ROOT / path).exists():
        problems.append(f"{page}: {target} is not there")
        return found[0]
    to = place(path)
    if to is None:
        to = f"files/{path}"
        (source / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / to)
    relative = os.path.relpath(to, PurePosixPath(str(place(page))).parent).replace(os.sep, "/")
    if to.startswith(API):  # a page for many modules
        module = ".".join(PurePosixPath(path).with_suffix("").parts)
        anchor = [] if module.endswith(".__init__") else [module]
    return "".join((before, relative, *(f"#{each}" for each in anchor), after))
