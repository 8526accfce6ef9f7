"""Draw docs/architecture.svg from docs/architecture.toml and the floors in pyproject.toml.

    .venv/bin/python docs/draw_architecture.py

Standard library only, but for `tomli` on Python 3.10. The picture follows the reader's light or dark colour scheme.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).parent
WIDTH, MARGIN, GAP = 1000, 24, 14
STYLE = """
  svg { --ink: #1f2328; --soft: #59636e; --room: #f6f8fa; --edge: #d1d9e0; --frame: #0969da; --heat: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9198a1; --room: #161b22; --edge: #3d444d; --frame: #4493f8; --heat: #db6d28; }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .title { font-size: 15px; font-weight: 600; }
  .name { font-weight: 600; }
  .soft { fill: var(--soft); font-size: 12px; }
  .room { fill: var(--room); stroke: var(--edge); }
  .frame { stroke: var(--frame); fill: none; stroke-width: 1.6; }
  .heat { stroke: var(--heat); fill: none; stroke-width: 1.6; }
  .frame-head { fill: var(--frame); } .heat-head { fill: var(--heat); }
"""


def floors() -> list[list[str]]:
    """The floors from top to bottom, each with its rooms, as import-linter enforces them."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[room.strip().removeprefix("appliance.") for room in layer.split("|")] for layer in layers]


def read() -> dict[str, Any]:
    """The rooms and the two ways through them."""
    return tomllib.loads((DOCS / "architecture.toml").read_text(encoding="utf-8"))


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def way(steps: Sequence[dict[str, str]], y: float, height: float, kind: str) -> Iterator[str]:
    """One row of rooms with arrows between them."""
    width = (WIDTH - 2 * MARGIN - GAP * (len(steps) - 1)) / len(steps)
    letters = int(width / 7.2)
    for number, step in enumerate(steps):
        x = MARGIN + number * (width + GAP)
        yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="room"/>'
        yield text(x + width / 2, y + 20, step["room"], "name", "middle")
        for line, words in enumerate(wrap(step["does"], letters)):
            yield text(x + width / 2, y + 39 + 15 * line, words, "soft", "middle")
        if number:
            yield f'<path d="M{x - GAP:g} {y + height / 2:g} h{GAP - 5:g}" class="{kind}"/>'
            yield f'<path d="M{x - 6:g} {y + height / 2 - 4:g} l6 4 l-6 4 z" class="{kind}-head"/>'


def floor(rooms: Sequence[str], purposes: dict[str, str], y: float) -> Iterator[str]:
    width = (WIDTH - 2 * MARGIN - GAP * (len(rooms) - 1)) / len(rooms)
    for number, room in enumerate(rooms):
        x = MARGIN + number * (width + GAP)
        yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="46" rx="6" class="room"/>'
        if len(rooms) > 4:
            yield text(x + width / 2, y + 20, room, "name", "middle")
            yield text(x + width / 2, y + 37, purposes[room], "soft", "middle")
        else:
            yield text(x + 12, y + 20, room, "name")
            yield text(x + 12, y + 37, purposes[room], "soft")


def svg() -> str:
    """The whole picture."""
    data, parts, y = read(), [], 30.0
    parts.append(text(MARGIN, y, "A frame's way", "title"))
    parts += way(data["frame"], y + 12, 104, "frame")
    y += 150
    parts.append(text(MARGIN, y, "A temperature's way", "title"))
    parts += way(data["temperature"], y + 12, 62, "heat")
    y += 108
    parts.append(text(MARGIN, y, "The rooms: each imports only from the floors below", "title"))
    y += 12
    for rooms in floors():
        parts += floor(rooms, data["rooms"], y)
        y += 54
    height = y + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        f'role="img" aria-label="How a frame and a temperature travel, and the rooms of the package">'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    (DOCS / "architecture.svg").write_text(svg(), encoding="utf-8")
