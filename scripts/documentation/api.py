"""A page for each package, made of its modules' docstrings by mkdocstrings."""

import ast
from pathlib import Path

from scripts.documentation.pages import API, ROOT

PACKAGE = "restore_lightning"
LEFT_OUT = (f"{PACKAGE}.commands", f"{PACKAGE}.cli", f"{PACKAGE}.__main__")
"""The command line has a page of its own."""


def packages() -> dict[str, list[str]]:
    """Each package, and the modules in it."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name.startswith(LEFT_OUT):
            continue
        if path.stem == "__init__":
            found.setdefault(name.removesuffix(".__init__"), [])
        else:
            found.setdefault(name.rpartition(".")[0], []).append(name)
    return dict(sorted(found.items()))


def write_api(source: Path) -> list[str]:
    """Write the pages.

    Args:
        source: The folder of all pages.

    Returns:
        Their paths in it.
    """
    folder = source / API
    folder.mkdir(parents=True)
    names = packages()
    for package, modules in names.items():
        (folder / f"{package}.md").write_text(_page(package, modules), encoding="utf-8")
    return [f"{API}/{package}.md" for package in names]


def _page(package: str, modules: list[str]) -> str:
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    text = [f"# {package}", "", ast.get_docstring(tree) or "", ""]
    public, origin, own = _names(tree)
    links = [f"[`{name}`][{origin.get(name, package)}.{name}]" for name in public if name != "__version__"]
    if links:
        text += [f"`from {package} import` {', '.join(links)}", ""]
    for module in (package, *modules):
        options = ["    options:"]
        if module == package:
            options += ["      show_root_toc_entry: false", "      show_root_heading: false"]
            options += ["      show_docstring_description: false", f"      members: {own or 'false'}"]
        text += [f"::: {module}", *options, "      heading_level: 2", ""]
    return "\n".join(text)


def _names(tree: ast.Module) -> tuple[list[str], dict[str, str], list[str]]:
    """The names of `__all__`, the modules of those that are imported, and those that are made here."""
    public: list[str] = []
    origin: dict[str, str] = {}
    own: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            origin |= {alias.name: node.module for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            public = ast.literal_eval(node.value)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own += [ast.unparse(target) for target in targets]
    return public, origin, [name for name in own if not name.startswith("_")]
