"""Draws the package's rooms and their imports: `python -m scripts.figures.house`, docs/figures/house.svg."""

import ast
from collections.abc import Iterator, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "restore_lightning"
FIGURE = ROOT / "docs/figures/house.svg"
EVERYWHERE = {"errors", "seeding", "hardware"}
"""Small modules that would add arrows and say nothing."""
STEP, HEIGHT, GAP, WIDTH = 84, 34, 60, 1120
"""Pixels: from row to row, a box's height, between boxes at most, of the figure."""
STYLE = """
rect { fill: #dbe4ff; stroke: #4263eb; }
rect.module { fill: #f1f3f5; stroke: #868e96; }
text { font: 15px system-ui, sans-serif; fill: #1b1f24; text-anchor: middle; }
path { fill: none; stroke: #868e96; stroke-width: 1.4; marker-end: url(#head); }
"""

Rooms = Mapping[str, set[str]]


def rooms() -> dict[str, set[str]]:
    """Each room, a package or a single module, and the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        inside = path.relative_to(ROOT / PACKAGE)
        room = inside.parts[0].removesuffix(".py")
        if room.startswith("__") or room in EVERYWHERE:
            continue
        imported = found.setdefault(room, set())
        for module in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            other = module.partition(".")[2].partition(".")[0]
            if module.startswith(f"{PACKAGE}.") and other not in EVERYWHERE | {room} and not other.startswith("__"):
                imported.add(other)
    return found


def _imports(tree: ast.Module) -> Iterator[str]:
    """Modules that are imported, but for those that only type checkers see."""
    unseen = {
        each
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node not in unseen:
            yield node.module
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)


def circles(imports: Rooms) -> list[str]:
    """Rooms that import themselves by way of others."""
    return [room for room in imports if room in _below(room, imports)]


def _below(room: str, imports: Rooms) -> set[str]:
    below: set[str] = set()
    waiting = list(imports.get(room, ()))
    while waiting:
        other = waiting.pop()
        if other not in below:
            below.add(other)
            waiting += imports.get(other, ())
    return below


def arrows(imports: Rooms) -> dict[str, set[str]]:
    """The imports without those that other arrows imply.

    >>> arrows({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    {'a': {'b'}, 'b': {'c'}, 'c': set()}
    """
    return {
        room: {other for other in others if not any(other in _below(between, imports) for between in others)}
        for room, others in imports.items()
    }


def draw(imports: Rooms) -> str:
    """The figure as SVG, who imports above who is imported.

    Raises:
        RuntimeError: Rooms import one another in a circle.
    """
    if circles(imports):
        raise RuntimeError(f"rooms import one another: {', '.join(circles(imports))}")
    links = [(room, other) for room, others in arrows(imports).items() for other in sorted(others)]
    rows = _rows(imports)
    depth = {room: number for number, row in enumerate(rows) for room in row}
    ways = {link: [_lane(link, row) for row in range(depth[link[0]], depth[link[1]] + 1)] for link in links}
    for link, way in ways.items():
        way[0], way[-1] = link
        for number, lane in enumerate(way[1:-1], depth[link[0]] + 1):
            rows[number].append(lane)
    places = _places(rows, list(ways.values()))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {STEP * len(rows) - STEP + HEIGHT + 16}">',
        "<title>Rooms of the package: arrows lead from those that import to those that are imported</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill:#868e96;stroke:none;marker-end:none"/></marker></defs>',
    ]
    for way in ways.values():
        x, y = places[way[0]]
        text = f"M{x:.0f} {y + HEIGHT:.0f}"
        y += HEIGHT
        for number, each in enumerate(way[1:]):
            to_x, to_y = places[each]
            bend = (to_y - y) / 2
            text += f"C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y - 1:.0f}"
            x, y = to_x, to_y
            if number < len(way) - 2:
                y += HEIGHT
                text += f"V{y:.0f}"
        lines.append(f'<path d="{text}"/>')
    for room in imports:
        x, y = places[room]
        kind = "" if (ROOT / PACKAGE / room).is_dir() else ' class="module"'
        width = _width(room)
        lines.append(f'<rect{kind} x="{x - width / 2:.0f}" y="{y:.0f}" width="{width}" height="{HEIGHT}" rx="6"/>')
        lines.append(f'<text x="{x:.0f}" y="{y + 22:.0f}">{escape(room)}</text>')
    return "\n".join([*lines, "</svg>\n"])


def _rows(imports: Rooms) -> list[list[str]]:
    """Rooms by the longest way down from the top."""
    depth: dict[str, int] = {}
    left = sorted(imports)
    while left:
        free = [room for room in left if not any(room in imports[other] for other in left)]
        for room in free:
            depth[room] = max((depth[other] + 1 for other in depth if room in imports[other]), default=0)
        left = [room for room in left if room not in free]
    return [[room for room in imports if depth[room] == row] for row in range(max(depth.values()) + 1)]


def _lane(link: tuple[str, str], row: int) -> str:
    """Where an arrow passes a row of rooms."""
    return f"{link[0]}>{link[1]}@{row}"


def _places(rows: list[list[str]], ways: list[list[str]]) -> dict[str, tuple[float, float]]:
    """The middle of the upper side of each room and lane, which stand below those that lead to them."""
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        above: dict[str, list[float]] = {room: [] for room in row}
        for way in ways:
            for upper, lower in pairwise(way):
                if lower in above and upper in places:
                    above[lower].append(places[upper][0])
        row = sorted(row, key=lambda room: (sum(above[room]) / len(above[room]) if above[room] else WIDTH / 2, room))
        widths = [_width(room) for room in row]
        gap = min(GAP, (WIDTH - sum(widths)) / (len(row) + 1))
        x = (WIDTH - sum(widths) - gap * (len(row) - 1)) / 2
        for room, width in zip(row, widths, strict=True):
            places[room] = (x + width / 2, 8 + STEP * number)
            x += width + gap
    return places


def _width(room: str) -> int:
    return 4 if "@" in room else 9 * len(room) + 22


if __name__ == "__main__":
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    FIGURE.write_text(draw(rooms()), encoding="utf-8")
