"""Draw the rooms of the package and their imports: ``python docs/rooms.py rooms.svg``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "lib" / "imagereg"
# Where each room stands on the page: floors from the bottom up, set aside so that arrows can be
# told apart. Only the places are given here; tests/test_architecture.py holds the floors.
PLACES = {
    "wcs": (0.9, 0.0),
    "catalogs": (-3.2, 1.25),
    "detection": (-0.9, 2.5),
    "alignment": (3.2, 2.5),
    "files": (-3.9, 3.75),
    "report": (4.6, 3.75),
    "parameters": (1.9, 5.0),
    "tasks": (-1.6, 6.25),
    "interfaces": (1.9, 7.5),
}
_WIDTH, _HEIGHT = 2.3, 0.62  # of a box


def imports_of(room):
    """Return how many import statements of a room name each of the other rooms, a dict."""
    counts = {}
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "imagereg" and len(parts) > 1 and parts[1] != room:
                    counts[parts[1]] = counts.get(parts[1], 0) + 1
    return counts


def draw(path):
    """Write the picture; its format is that of the file's name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 7.6), layout="constrained")
    axes = figure.add_subplot()
    boxes = {room: _box(axes, room, place) for room, place in PLACES.items()}
    for room, place in PLACES.items():
        for other, count in imports_of(room).items():
            if other in PLACES:
                _arrow(axes, (place, boxes[room]), (PLACES[other], boxes[other]), count)
    axes.set(xlim=(-5.6, 6.2), ylim=(-0.6, 8.1), aspect="equal")
    axes.axis("off")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _box(axes, room, place):
    """Draw a room, its name and how many modules it has; returns the box."""
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    modules = [p for p in (PACKAGE / room).rglob("*.py") if p.name != "__init__.py"]
    corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
    box = FancyBboxPatch(corner, _WIDTH, _HEIGHT, boxstyle="round,pad=0.06", facecolor="#eef3f8",
                         edgecolor="#30506f", linewidth=1.2, zorder=3)
    axes.add_patch(box)
    axes.text(x, y + 0.1, room, ha="center", va="center", fontsize=13, zorder=4)
    number = f"{len(modules)} modules"
    axes.text(x, y - 0.17, number, ha="center", va="center", fontsize=8, color="#555555", zorder=4)
    return box


def _arrow(axes, start, end, count):
    """Draw an arrow between two rooms, each as place and box; more imports make it thicker."""
    style = {"arrowstyle": "-|>", "color": "#7d95ad", "linewidth": min(0.6 + 0.25 * count, 3.0),
             "patchA": start[1], "patchB": end[1], "shrinkA": 0, "shrinkB": 2}
    axes.annotate("", xy=end[0], xytext=start[0], arrowprops=style, zorder=2)


if __name__ == "__main__":
    draw(sys.argv[1])
