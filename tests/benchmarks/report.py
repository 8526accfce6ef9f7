"""The results of a benchmark: a table for the terminal, JSON for programs, and an SVG plot."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import psutil


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `value`: usually a ratio to a reference in the same run; `goal`: its bound."""

    claim: str
    value: float
    goal: float
    at_most: bool
    """Whether the goal is an upper bound."""
    detail: str

    @property
    def ok(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def show(rows: Sequence[Row]) -> str:
    """Format the table."""
    lines = [f"{'claim':<58} {'measured':>8}  {'goal':>9}"]
    for row in rows:
        sign = "≤" if row.at_most else "≥"
        mark = "✓" if row.ok else "✗"
        lines.append(f"{row.claim:<58} {row.value:8.3f}  {sign} {row.goal:6.3f} {mark}  {row.detail}")
    return "\n".join(lines)


def write(rows: Sequence[Row], folder: Path, name: str) -> None:
    """Write `name.json` and `name.svg` to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"cpu": _cpu(), "cores": psutil.cpu_count(), "python": platform.python_version()}
    content = {"machine": machine, "rows": [asdict(row) | {"ok": row.ok} for row in rows]}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / f"{name}.svg").write_text(_svg(rows))


def _svg(rows: Sequence[Row]) -> str:
    """Draw a bar for each claim, as a part of its goal, which is the line in the middle."""
    height, middle, unit = 34, 680, 200
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1140" height="{len(rows) * height + 40}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<line x1="{middle}" y1="8" x2="{middle}" y2="{len(rows) * height + 16}" stroke="#444"/>',
        f'<text x="{middle}" y="{len(rows) * height + 32}" text-anchor="middle" fill="#444">goal</text>',
    ]
    for number, row in enumerate(rows):
        y = 12 + number * height
        part = min(1.7, row.value / row.goal if row.goal else 1.0)
        colour = "#1a7f4b" if row.ok else "#b3261e"
        body += [
            f'<text x="{middle - unit - 10}" y="{y + 17}" text-anchor="end">{escape(row.claim)}</text>',
            f'<rect x="{middle - unit}" y="{y + 4}" width="{max(1.0, part * unit):.0f}" height="18" fill="{colour}"/>',
            f'<text x="{max(middle, middle - unit + part * unit) + 6:.0f}" y="{y + 17}">{row.value:.3g} '
            f"({'≤' if row.at_most else '≥'} {row.goal:g})</text>",
        ]
    return "\n".join([*body, "</svg>"]) + "\n"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
