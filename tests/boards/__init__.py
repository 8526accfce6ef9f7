"""Boards as trees of files: one text file each, `path = what it says` or `path -> where it leads`, `#` for the source.

Paths, names and bounds are as the source lists them; what moves on a board (temperatures, loads) is one moment of it,
or an example where the source shows none, as are serial numbers. Backslash escapes are those of Python.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("pi4", "pi5", "orin_nano", "nuc", "vm")


def lay_out(name: str, root: Path) -> Path:
    """Make the board's tree under this folder, and return it."""
    for line in (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        path, arrow, target = line.partition(" -> ")
        if not arrow:
            path, _, content = line.partition(" = ")
            put(root, path, content.encode().decode("unicode_escape") + "\n")
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    return root


def put(root: Path, path: str, content: str | bytes) -> Path:
    """One file, new or anew."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file
